"""What the host must know of a function package: its name, its files and the revision it makes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock.errors import PenstockError
from penstock.runtimes import Kind

MANIFEST: Final = "function.json"
#: Beside it where the package is signed (penstock.signatures).
SIGNATURE: Final = "function.sig"
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_VERSION = "[A-Za-z0-9][A-Za-z0-9_.-]{0,127}"
REVISION: Final = re.compile(f"v{_VERSION}-[0-9a-f]{{12}}")

# Which revision answered; on every answer that comes from a function.
REVISION_HEADER: Final = "x-penstock-revision"
# A request's own id, the caller's or ours; it comes back in the answer.
REQUEST_ID: Final = "x-request-id"


class PackageFault(PenstockError):
    """A folder or zip is not a function package."""

    kind = "package"


class Manifest(BaseModel):
    """The part of `function.json` that hosting needs; `files` maps relative paths to SHA-256 in hex.

    It answers one of `classes`, or a number where there are none; `output` says whether with their probabilities. `steps` are in
    their order, the model among them; numbers of an answer are right within `tolerance`, relative to max(1, |x|).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1]
    name: str = Field(pattern=f"^{NAME.pattern}$")
    version: str = Field(pattern=f"^{_VERSION}$")
    runtime: Kind
    classes: tuple[str | int, ...] | None = None
    output: Literal["probability", "prediction"] = "prediction"
    files: dict[str, str]
    steps: list[str] | None = None
    tolerance: float = 0


def read_manifest(package: Path) -> tuple[Manifest, str]:
    """The manifest of the package in folder `package`, and its revision `v<version>-<12 hex of its SHA-256>`.

    The revision rests on the manifest's bytes, which name every file by digest: same revision, same content.
    Raises PackageFault when there is no manifest or it is not one.
    """
    path = package / MANIFEST
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise PackageFault(
            f"{package.name}: no {MANIFEST} in it", next_step="give the folder that `register` built"
        ) from None
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or MANIFEST}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        )
        raise PackageFault(
            f"{MANIFEST}: {faults}", next_step="build the package again with `register`"
        ) from None
    for name in manifest.files:
        if not is_safe_path(name) or name in (MANIFEST, SIGNATURE):
            raise PackageFault(
                f"{MANIFEST}: files: {name!r} is not the relative path of a file in the package"
            )
    return manifest, f"v{manifest.version}-{hashlib.sha256(text).hexdigest()[:12]}"


def is_safe_path(name: str) -> bool:
    """Whether `name` is a plain relative path that stays inside the folder it is unpacked to, on any system."""
    if not name or any(character in name for character in "\\:\0") or not name.isprintable():
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))
