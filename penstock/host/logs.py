"""A function's log: what its runtime printed, bounded on disk, readable while it is down."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

_LINE_BYTES = 8192


class FunctionLog:
    """Two files of at most `limit` bytes: `path`, and `path.1` with what was before.

    A log must never fell what it reports on: when the disk is full, lines are lost and counted, and the count is
    the first thing written once there is room.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._older = path.with_name(f"{path.name}.1")
        self._limit = limit
        self._lost = 0

    def write(self, revision: str, source: str, line: bytes) -> None:
        """Append one line that `revision` printed on `source` (`out`, `err`, or `host` for the host's own words)."""
        text = _visible(line[:_LINE_BYTES].decode("utf-8", "replace"))
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = f"{stamp} {revision} {source}| {text}\n"
        if self._lost:
            entry = f"{stamp} {revision} host| {self._lost} lines lost: the disk was full\n{entry}"
        try:
            self._append(entry.encode())
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def _append(self, entry: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size + len(entry) > self._limit:
                os.replace(self._path, self._older)
        with open(self._path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(entry)

    def tail(self, lines: int) -> list[str]:
        """The last `lines` lines, oldest first."""
        last: deque[str] = deque(maxlen=lines)
        for path in (self._older, self._path):
            with (
                contextlib.suppress(FileNotFoundError),
                open(path, encoding="utf-8", errors="replace") as file,
            ):
                last.extend(line.rstrip("\n") for line in file)
        return list(last)

    def remove(self) -> None:
        """Delete both files."""
        for path in (self._older, self._path):
            path.unlink(missing_ok=True)


def _visible(text: str) -> str:
    """The text with its control characters escaped: what ends a line for any reader of the log, or moves a terminal's cursor, among them."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape").decode("ascii")
        for each in text
    )
