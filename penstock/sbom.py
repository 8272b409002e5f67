"""A bill of materials (CycloneDX 1.6) of what an image adds to its base: the libraries as they are installed.

Read from the installed distributions and not from the lock, which holds those of other systems and Pythons too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

import penstock


def write(path: Path, name: str, site: Path, jars: Sequence[str] = ()) -> None:
    """Write the bill of the image `name` whose libraries lie in `site`; equal libraries give equal bytes.

    `jars` are the paths in a Maven repository of the Java libraries that were added to those.
    """
    components = [*map(_component, distributions(path=[str(site)])), *map(_jar, jars)]
    root = Component(name=name, version=penstock.__version__, type=ComponentType.CONTAINER, bom_ref=name)
    bill = Bom(components=components, metadata=BomMetaData(component=root))
    bill.register_dependency(root, components)
    document = json.loads(JsonV1Dot6(bill).output_as_string())
    # Optional, and of the moment.
    del document["serialNumber"], document["metadata"]["timestamp"]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{json.dumps(document, indent=1)}\n")


def _component(found: Distribution) -> Component:
    about = found.metadata.json
    name = str(about["name"])
    url = PackageURL("pypi", name=name.lower(), version=found.version)
    return Component(
        name=name,
        version=found.version,
        description=str(about.get("summary", "")),
        purl=url,
        bom_ref=str(url),
        licenses=[LicenseFactory().make_from_string(text) for text in _licenses(about)],
    )


def _jar(path: str) -> Component:
    group, artifact, version, _ = path.rsplit("/", 3)
    url = PackageURL("maven", namespace=group.replace("/", "."), name=artifact, version=version)
    return Component(name=artifact, version=version, purl=url, bom_ref=str(url))


def _licenses(about: Mapping[str, str | list[str]]) -> list[str]:
    """By the first of the three fields that says it; the second may hold a whole licence's text."""
    for field in ("license_expression", "license"):
        if (text := str(about.get(field, ""))) and "\n" not in text:
            return [text]
    classifiers = about.get("classifier", [])
    return [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
