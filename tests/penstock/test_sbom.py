"""The bill of materials of an image."""

from __future__ import annotations

import json
from pathlib import Path

from penstock import sbom


def distribution(site: Path, name: str, *fields: str) -> None:
    """Metadata as an installer leaves it."""
    folder = site / f"{name}-1.2.dist-info"
    folder.mkdir(parents=True)
    lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.2", *fields]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")


def test_each_library_with_its_licence(tmp_path: Path) -> None:
    """By the field that says it in a word: the expression, the name, the classifier; never a licence's whole text."""
    site = tmp_path / "site"
    distribution(site, "One", "License-Expression: MIT OR Apache-2.0")
    distribution(site, "two", "License: BSD-3-Clause")
    distribution(
        site, "three", "License: All of\n        it", "Classifier: License :: OSI Approved :: MIT License"
    )
    sbom.write(tmp_path / "out" / "a.json", "penstock-room", site)
    bill = json.loads((tmp_path / "out" / "a.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "penstock-room"
    assert {each["purl"]: each["licenses"] for each in bill["components"]} == {
        "pkg:pypi/one@1.2": [{"expression": "MIT OR Apache-2.0"}],
        "pkg:pypi/two@1.2": [{"license": {"id": "BSD-3-Clause"}}],
        "pkg:pypi/three@1.2": [{"license": {"name": "MIT License"}}],
    }


def test_java_libraries_too(tmp_path: Path) -> None:
    """By their coordinates, as a Maven repository names them."""
    jar = "org/apache/hadoop/hadoop-aws/3.4.2/hadoop-aws-3.4.2.jar"
    sbom.write(tmp_path / "a.json", "penstock-job", tmp_path / "site", [jar])
    (found,) = json.loads((tmp_path / "a.json").read_text())["components"]
    assert found["purl"] == "pkg:maven/org.apache.hadoop/hadoop-aws@3.4.2"


def test_equal_libraries_equal_bytes(tmp_path: Path) -> None:
    """It is a layer of the image, whose digest then does not depend on the moment."""
    distribution(tmp_path / "site", "one")
    for name in ("a", "b"):
        sbom.write(tmp_path / name, "penstock-room", tmp_path / "site")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
