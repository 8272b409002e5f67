"""Files as they lie there, compressed or zipped, as plain streams with the name of what is inside."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, cast

from penstock.errors import DataError

#: What a broken compressed file raises, by library. (bz2 and zstd raise a plain OSError; see `readable`.)
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError, NotImplementedError)
_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".zip")


def plain_name(path: str) -> str:
    """A path or address without its query and its ending for compression: `x/a.csv.gz?v=2` is `x/a.csv`."""
    name = path.split("?")[0]
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


@contextmanager
def readable(part: str) -> Iterator[None]:
    """Name the file whose compression turns out to be broken while it is read."""
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a disk or a network, not the file's content
        raise DataError(
            f"{part} is broken or cut off: {error or type(error).__name__}",
            next_step="fetch or write the file again, whole",
        ) from None


def streams(raw: io.BufferedReader, path: str, part: str) -> Iterator[tuple[str, str, IO[bytes]]]:
    """The plain streams in a file: (name that tells the format, part's name for messages, stream).

    That is one for a plain or compressed file, and one for each member of a zip archive, by name.
    """
    bare = path.split("?")[0]
    with ExitStack() as stack:
        stack.enter_context(raw)
        if bare.endswith(".zip"):
            with readable(part):
                archive = stack.enter_context(zipfile.ZipFile(raw))
            for name in sorted(archive.namelist()):
                if name.endswith("/") or name.startswith("__MACOSX/"):
                    continue
                with readable(part):
                    member = archive.open(name)
                yield name, f"{part}:{name}", member
            return
        yield plain_name(path), part, _decompressed(raw, bare)


def _decompressed(raw: io.BufferedReader, name: str) -> IO[bytes]:
    if name.endswith(".gz"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if name.endswith(".bz2"):
        return bz2.BZ2File(raw)
    if name.endswith(".xz"):
        return lzma.LZMAFile(raw)
    if name.endswith((".zst", ".zstd")):
        import pyarrow as pa

        return cast(
            IO[bytes], io.BufferedReader(_Arrow(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")))
        )
    return raw


class _Arrow(io.RawIOBase):
    """An Arrow stream, whose errors are all OSError, as Python's own."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
