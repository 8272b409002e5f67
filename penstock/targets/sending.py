"""What every target sends: a function package as a zip, and a payload as JSON."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from penstock.host.manifest import MANIFEST, SIGNATURE, Manifest, PackageFault, read_manifest
from penstock.targets import TargetError


def zipped(
    package: Path, compression: int, only: Collection[str] | None = None
) -> tuple[Manifest, str, bytes]:
    """The manifest, the revision and the files of the package in folder `package`, as a zip packed by zipfile's `compression`.

    `only`: of the files that the manifest names those that are packed; all where it is None.

    Raises TargetError where it is none, or cannot be read.
    """
    buffer = io.BytesIO()
    try:
        manifest, revision = read_manifest(package)
        signature = [SIGNATURE] if (package / SIGNATURE).exists() else []
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            wanted = [name for name in manifest.files if only is None or name in only]
            for name in [MANIFEST, *wanted, *signature]:
                archive.write(package / name, name)
    except PackageFault as fault:
        raise TargetError(fault.message, next_step=fault.next_step) from fault
    except OSError as error:
        raise TargetError(
            f"the package in {package} cannot be read: {error}", next_step="build it again with `register`"
        ) from error
    return manifest, revision, buffer.getvalue()


def as_json(name: str, payload: Any) -> str:
    """The payload for a function. Raises TargetError where it is no JSON."""
    try:
        return json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TargetError(
            f"the payload for {name} is not JSON: {error}", next_step="send null for what is not known"
        ) from error
