"""A package as a zip, read in memory: nothing is written, so no entry can land outside a folder."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Callable

from penstock_function.package import MANIFEST, MODEL, SAMPLES, PackageError, is_step_file
from penstock_function.signature import SIGNATURE

MAX_UNPACKED = 256 * 2**20  # bytes of all files together; a forest of a thousand deep trees is a tenth of it
MAX_FILES = 64  # two a step, beside these
_FILES = {MANIFEST, MODEL, SAMPLES, SIGNATURE}
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
# What zipfile raises on damage of such a zip beside its own error, places that lie nowhere and encryption included.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OverflowError, OSError, RuntimeError, ValueError)


def reader(data: bytes) -> Callable[[str], bytes]:
    """A function that reads the files of the zipped package `data`, for `Package.read`.

    Raises:
        PackageError: not a zip, an entry that is no file of a package (a path, a link, a folder, a
            duplicate), one packed in an unusual way, or more than MAX_FILES or MAX_UNPACKED bytes when unpacked.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGE as error:
        raise PackageError(f"the package is not a zip file: {error}") from error
    entries: dict[str, zipfile.ZipInfo] = {}
    if len(archive.infolist()) > MAX_FILES:
        raise PackageError(f"the zip holds {len(archive.infolist())} files, at most {MAX_FILES} are allowed")
    for entry in archive.infolist():
        # Only these plain names are let through, which rules out absolute paths, `..` and folders.
        known = entry.filename in _FILES or is_step_file(entry.filename)
        if not known or stat.S_ISLNK(entry.external_attr >> 16):
            raise PackageError(
                f"the zip holds {entry.filename!r:.200}, which is no file of a package;"
                f" it may hold {', '.join(sorted(_FILES))} at its top, the files of steps, and nothing else"
            )
        if entry.compress_type not in _METHODS:
            raise PackageError(
                f"{entry.filename} is packed by method {entry.compress_type} of zip,"
                " expected 0 (stored) or 8 (deflated)"
            )
        if entry.filename in entries:
            raise PackageError(f"the zip holds {entry.filename} twice")
        entries[entry.filename] = entry
    unpacked = sum(entry.file_size for entry in entries.values())
    if unpacked > MAX_UNPACKED:
        raise PackageError(f"the package unpacks to {unpacked} bytes, at most {MAX_UNPACKED} are allowed")

    def read(name: str) -> bytes:
        if name not in entries:
            raise PackageError(f"the zip has no {name}")
        try:
            # Reading stops at the size that the entry states, so a false one cannot pass the limit.
            return archive.read(entries[name])
        except _DAMAGE as error:
            raise PackageError(f"{name} cannot be unpacked: {error}") from error

    return read
