"""The files of a source: one URI or glob pattern, on any filesystem that fsspec reaches."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeVar

from penstock.errors import DataError, SourceUnavailable, SpecError
from penstock.intervals import Interval
from penstock.redaction import redact
from penstock.settings import Settings
from penstock.spec.sources import Files
from penstock.templates import render_uri

_T = TypeVar("_T")
#: The answers of a web server that say that there is no such page.
_GONE = (404, 410)


class SourceFiles:
    """A source's files for one data interval; `uri` is what the template gave, less what must not be shown."""

    def __init__(self, source: Files, interval: Interval, settings: Settings) -> None:
        """Raises SpecError where the URI's template or its scheme is wrong."""
        import fsspec

        self.source = source
        uri = render_uri(source, interval, settings)
        self.uri = redact(uri)
        try:
            self.fs, self._path = fsspec.core.url_to_fs(uri)
        except (ImportError, ValueError) as error:
            raise SpecError(
                f"the uri of source {source.name!r} cannot be opened: {redact(str(error))} (given: {self.uri})",
                next_step="use a path or a URI that fsspec knows, and install the package of its filesystem",
            ) from None
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        self._web = protocol in ("http", "https")

    def paths(self) -> list[str]:
        """The paths of the files that are there, sorted; none where there are none.

        Raises SourceUnavailable where the filesystem does not answer, DataError where the URI is a folder.
        """
        self.fs.invalidate_cache()
        # A question mark in a web address starts its query; elsewhere it stands for one character.
        magic = "*[" if self._web else "*[?"
        signs = [self._path.index(sign) for sign in magic if sign in self._path]
        if not signs:
            return self._single()
        folder = self._path[: min(signs)].rpartition("/")[0]
        # glob() takes a server that does not answer for an empty folder; ls() tells them apart.
        if self._ask(lambda: self.fs.ls(folder or "/", detail=False)) is None:
            return []
        found = self._ask(lambda: self.fs.glob(self._path, detail=True)) or {}
        return sorted(str(path) for path, info in found.items() if info.get("type", "file") == "file")

    def info(self, path: str) -> dict[str, Any]:
        """What the filesystem says of a file without reading it; empty where it is gone."""
        return self._ask(lambda: dict(self.fs.info(path))) or {}

    def open(self, path: str) -> io.BufferedReader:
        """A file's raw bytes; reading raises SourceUnavailable where the filesystem stops to answer."""
        file = self._ask(lambda: self.fs.open(path, "rb"))
        if file is None:
            raise SourceUnavailable(
                f"source {self.source.name!r}: {redact(path)} vanished while it was read",
                next_step="run again when nothing moves the source's files",
            )
        return io.BufferedReader(_Guarded(file, self._ask), buffer_size=1 << 20)

    def _single(self) -> list[str]:
        info = self.info(self._path)
        if not info:
            return []
        if info.get("type") == "directory":
            raise DataError(
                f"source {self.source.name!r}: {self.uri} is a folder",
                next_step=f"name its files by a pattern, for example {self.uri.rstrip('/')}/*.csv",
            )
        return [self._path]

    def _ask(self, question: Callable[[], _T]) -> _T | None:
        try:
            return question()
        except Exception as error:  # filesystems of fsspec raise their client's errors, which share no base
            if isinstance(error, FileNotFoundError) and not self._hides_outage(error):
                return None
            cause = error.__cause__ or error
            reason = redact(" ".join(str(cause).split()) or type(cause).__name__)
            raise SourceUnavailable(
                f"source {self.source.name!r} did not answer ({self.uri}): {reason}",
                next_step="check that the source is up and that this machine may read it, then run again",
            ) from None

    def _hides_outage(self, error: FileNotFoundError) -> bool:
        """True where fsspec says of a web server that does not answer that the file is not there."""
        cause = error.__cause__
        return self._web and cause is not None and getattr(cause, "status", None) not in _GONE


class _Guarded(io.RawIOBase):
    """A remote file whose failures name the source."""

    def __init__(self, file: Any, ask: Callable[[Callable[[], Any]], Any]) -> None:
        self._file = file
        self._ask = ask

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        data = self._ask(lambda: self._file.read(len(buffer))) or b""
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
