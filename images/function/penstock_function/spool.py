"""A folder of bounded files of JSON lines, written beside the requests and taken away by somebody else.

A file is a segment: the rows of one hour, as named, that one process wrote. The writer holds a lock (flock(2)) on it while it
writes; a segment that is not empty and whose lock is free is complete, however its writer ended. Whoever takes it away
locks it, reads it and deletes it. Rows that find no room are dropped and counted: no request ever waits for the log.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread

from penstock_function import logs
from penstock_function.metrics import Metrics

# Some ten thousand rows: as a Parquet file it is well worth opening, and converting it takes a second.
SEGMENT_BYTES = 8 * 2**20
# All segments in the folder, of all processes that write there: days of a busy function's sample.
SPOOL_BYTES = 256 * 2**20
SPOOL_SEGMENTS = 1000
# What may wait to be written. The thread writes far faster than any model answers, unless the disk hangs.
PENDING_BYTES = 16 * 2**20
# How often it is written. A process that is killed loses what came since.
EVERY_SECONDS = 1.0
# How long an end waits for a disk that hangs.
_CLOSE_SECONDS = 3.0


class Spool:
    """Writes lines into segments in `folder`, each segment after `header`, on a thread of its own."""

    def __init__(self, folder: Path, header: bytes, metrics: Metrics) -> None:
        self._folder = folder
        self._header = header
        self._metrics = metrics
        self._pending: list[tuple[float, Sequence[bytes], Callable[[bytes], bytes]]] = []
        self._bytes = 0
        self._lock = Lock()
        self._segment: _Segment | None = None
        self._failing = False
        self._closing = Event()
        # As a daemon: a disk that hangs keeps no process from ending.
        self._thread = Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def put(self, at: float, rows: Sequence[bytes], line: Callable[[bytes], bytes]) -> None:
        """Take the rows of one moment (seconds since the epoch), to be written soon as what `line` makes of each.

        Returns at once.
        """
        size = sum(map(len, rows))
        with self._lock:
            fits = self._bytes + size <= PENDING_BYTES
            if fits:
                self._pending.append((at, rows, line))
                self._bytes += size
        if not fits:
            self._metrics.logged("backlog", len(rows))

    def close(self) -> None:
        """Write what is pending and complete the segment."""
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._closing.wait(EVERY_SECONDS):
            self._flush()
        self._flush()
        self._complete()

    def _flush(self) -> None:
        with self._lock:
            pending, self._pending, self._bytes = self._pending, [], 0
        written, fault = 0, ""
        for hour, line in ((_hour(at), line(row)) for at, rows, line in pending for row in rows):
            fault = self._write(hour, line)
            if fault:
                break  # what has no room now is not tried line by line
            written += 1
        self._metrics.logged("written", written)
        if fault:
            self._metrics.logged(fault, sum(len(rows) for _, rows, _ in pending) - written)
        if self._segment is not None and self._segment.hour != _hour(time.time()):
            self._complete()

    def _write(self, hour: str, line: bytes) -> str:
        """Write one line into the segment of its hour; why that failed, in a word, or nothing."""
        segment = self._segment
        try:
            if segment is None or segment.hour != hour or segment.size >= SEGMENT_BYTES:
                self._complete()
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                if not _has_room(self._folder):
                    return self._failed("full", f"{self._folder} is full: nobody takes its segments away")
                segment = self._segment = _Segment(self._folder, hour, self._header)
            segment.write(line)
        except OSError as error:
            return self._failed("disk", f"{self._folder} cannot be written: {error.strerror}")
        self._failing = False
        return ""

    def _failed(self, fault: str, reason: str) -> str:
        if not self._failing:  # said once, until it works again; how many rows it costs is counted
            logs.trouble("prediction_log_failed", cause=reason)
        self._failing = True
        return fault

    def _complete(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None


class _Segment:
    """An open segment. Raises OSError where it cannot be written; then it ends with its last whole line."""

    def __init__(self, folder: Path, hour: str, header: bytes) -> None:
        self.hour = hour
        self.size = 0
        path = folder / f"{hour}-{uuid.uuid4().hex}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            # Before there is a byte in it: an empty one is nobody's to take away.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.write(header)
        except OSError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        self.size += len(line)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._file)


def _hour(at: float) -> str:
    return time.strftime("%Y%m%dT%H", time.gmtime(at))


def _has_room(folder: Path) -> bool:
    """Whether one segment more keeps within the bounds."""
    with os.scandir(folder) as entries:
        sizes = [entry.stat().st_size for entry in entries]
    return len(sizes) < SPOOL_SEGMENTS and sum(sizes) + SEGMENT_BYTES <= SPOOL_BYTES
