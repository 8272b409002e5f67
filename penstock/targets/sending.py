"""What every target sends: a function package, as a zip say, and a payload as JSON."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from penstock.host.manifest import MANIFEST, SIGNATURE, Manifest, PackageFault, read_manifest
from penstock.targets import TargetError


@dataclass(frozen=True)
class Contents:
    """A package in a folder: what it says of itself, and the names of its files, which may hold a /."""

    folder: Path
    manifest: Manifest
    revision: str
    names: Sequence[str]

    def open(self, name: str) -> IO[bytes]:
        """One of the files. Raises TargetError where it cannot be read."""
        with _readable(self.folder):
            return (self.folder / name).open("rb")


def contents(package: Path) -> Contents:
    """What is in folder `package`. Raises TargetError where it is no package."""
    with _readable(package):
        manifest, revision = read_manifest(package)
        signature = [SIGNATURE] if (package / SIGNATURE).exists() else []
    return Contents(package, manifest, revision, [MANIFEST, *manifest.files, *signature])


def zipped(
    package: Path, compression: int, only: Collection[str] | None = None
) -> tuple[Manifest, str, bytes]:
    """The manifest, the revision and the files of the package in folder `package`, as a zip packed by zipfile's `compression`.

    `only`: of the files that the manifest names those that are packed; all where it is None.

    Raises TargetError where it is none, or cannot be read.
    """
    found, buffer = contents(package), io.BytesIO()
    with _readable(package), zipfile.ZipFile(buffer, "w", compression) as archive:
        for name in found.names:
            if only is None or name in only or name not in found.manifest.files:
                archive.write(package / name, name)
    return found.manifest, found.revision, buffer.getvalue()


@contextmanager
def _readable(package: Path) -> Iterator[None]:
    """Raises TargetError in the place of what a package does that is none, or cannot be read."""
    try:
        yield
    except PackageFault as fault:
        raise TargetError(fault.message, next_step=fault.next_step) from fault
    except OSError as error:
        raise TargetError(
            f"the package in {package} cannot be read: {error}", next_step="build it again with `register`"
        ) from error


def as_json(name: str, payload: Any) -> bytes:
    """The payload for a function, as it is sent. Raises TargetError where it is no JSON."""
    try:
        return json.dumps(payload, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise TargetError(
            f"the payload for {name} is not JSON: {error}", next_step="send null for what is not known"
        ) from error
