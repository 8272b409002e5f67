"""Taking in what clients send: bodies with a bound, and zips that may be hostile."""

from __future__ import annotations

import asyncio
import lzma
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from starlette.requests import ClientDisconnect, Request

from penstock.host.errors import HostError
from penstock.host.limits import Limits
from penstock.host.manifest import (
    MANIFEST,
    SIGNATURE,
    Manifest,
    PackageFault,
    is_safe_path,
    read_manifest,
)

_CHUNK = 1024 * 1024
# What zipfile raises on damage, beside its own error: decompressors' errors, unknown methods, encrypted members.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


async def read_body(request: Request, *, limit: int, seconds: float) -> bytes:
    """The request's body of at most `limit` bytes, sent within `seconds`. Raises HostError (408, 413)."""
    body = bytearray()
    await _receive(request, body.extend, limit, seconds)
    return bytes(body)


async def save_body(request: Request, path: Path, *, limit: int, seconds: float) -> None:
    """Write the body to the new file `path`, never whole in memory. Raises HostError (408, 413) and OSError."""
    with open(path, "xb") as file:
        await _receive(request, file.write, limit, seconds)


async def _receive(request: Request, take: Callable[[bytes], object], limit: int, seconds: float) -> None:
    declared = request.headers.get("content-length", "0")
    received = int(declared) if declared.isascii() and declared.isdigit() else 0
    try:
        if received <= limit:
            received = 0
            async with asyncio.timeout(seconds):
                async for chunk in request.stream():
                    received += len(chunk)
                    if received > limit:
                        break
                    take(chunk)
    except ClientDisconnect:
        raise HostError(400, "the client went away while it sent the body") from None
    except TimeoutError:
        raise HostError(408, f"the body did not arrive within {seconds:g} s") from None
    if received > limit:
        raise HostError(
            413, f"the body has more than {limit} bytes", next_step="send fewer records, or a smaller package"
        )


def unpack_package(archive: Path, folder: Path, name: str, revision: str, limits: Limits) -> None:
    """Unpack the zip `archive` into the empty `folder` and see that it is `name`'s package `revision`.

    Raises HostError: 422 for what is no such package, 413 for one too large; and OSError.
    """
    manifest, found = take_package(archive, folder, limits)
    if (manifest.name, found) != (name, revision):
        raise HostError(
            422,
            f"the package is {manifest.name} {found}, expected {name} {revision}",
            next_step="put it under its own name and revision",
        )


def take_package(archive: Path | IO[bytes], folder: Path, limits: Limits) -> tuple[Manifest, str]:
    """Unpack the zip `archive` into the empty `folder`; the manifest and revision of the package that it is.

    Raises HostError: 422 for what is none, 413 for one too large; and OSError.
    """
    unpack(archive, folder, limits)
    try:
        manifest, revision = read_manifest(folder)
    except PackageFault as fault:
        raise HostError(422, fault.message, next_step=fault.next_step) from fault
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if differing := sorted((files - {SIGNATURE}) ^ {MANIFEST, *manifest.files}):
        raise HostError(422, f"the zip and `files` of {MANIFEST} differ by {', '.join(differing)}")
    return manifest, revision


def unpack(archive: Path | IO[bytes], folder: Path, limits: Limits) -> None:
    """Unpack the zip `archive` into the empty `folder`.

    Only plain files with plain relative paths are taken, and sizes are counted as the bytes come: what a zip says
    of itself is not believed. Raises HostError (422 for what is no such zip, 413 for one too large) and OSError.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            members = [member for member in source.infolist() if not member.is_dir()]
            _check_members(members, limits)
            left = limits.package_bytes
            for member in members:
                left -= _extract(source, member, folder / member.filename, left)
    except _DAMAGE as error:
        raise HostError(
            422,
            f"the body is not a sound zip archive: {error}",
            next_step="send a zip of the package's folder",
        ) from error


def _check_members(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(members) > limits.package_files:
        raise HostError(413, f"the package has {len(members)} files, expected at most {limits.package_files}")
    seen: set[str] = set()
    for member in members:
        # `filename` is already made harmless by zipfile in ways that hide an attack: judge what was written.
        name = member.orig_filename
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not is_safe_path(name):
            raise HostError(
                422, f"the zip has a member {name!r}: expected plain relative paths inside the package"
            )
        if kind not in (0, stat.S_IFREG):
            raise HostError(422, f"the zip's member {name!r} is a link or a device: expected plain files")
        if name in seen or any(
            other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in seen
        ):
            raise HostError(422, f"the zip's member {name!r} collides with another one")
        seen.add(name)
    if MANIFEST not in seen:
        raise HostError(
            422,
            f"the zip has no {MANIFEST} at its top",
            next_step="zip what is in the folder, not the folder",
        )


def _extract(source: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, left: int) -> int:
    size = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.open(member) as packed, open(path, "xb") as file:
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            if size > left:
                raise HostError(
                    413, "the package is too large once unpacked", next_step="build a smaller model"
                )
            file.write(chunk)
    return size
