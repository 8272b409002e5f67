"""Raw rows on the scratch disk: a source is read once, and typed when all of its rows are known.

Memory holds one batch at a time; the disk holds the raw rows, compressed, until the item is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from jobs.collect.batches import Batch

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
_Origin = tuple[str, int]


class Spool:
    """Parts of a source in Arrow IPC files below `folder`, which is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0
        self._kept: list[tuple[Path, list[_Origin]]] = []
        folder.mkdir()

    def part(self) -> PartWriter:
        """A writer for one part; what it wrote is kept only if it ends without an error."""
        return PartWriter(self)

    def batches(self) -> Iterator[tuple[str, int, pa.RecordBatch]]:
        """All kept batches in order: (part, number of the first row in it, rows)."""
        for path, origins in self._kept:
            with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
                for (part, first), rows in zip(origins, reader, strict=True):
                    yield part, first, rows

    def _next(self) -> Path:
        self._files += 1
        return self._folder / f"{self._files:06}.arrow"

    def _keep(self, segments: list[tuple[Path, list[_Origin]]]) -> None:
        self._kept += segments


class PartWriter:
    """Writes batches one after another; each change of schema starts another file."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._segments: list[tuple[Path, list[_Origin]]] = []
        self._open = ExitStack()
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._schema: pa.Schema | None = None

    def __enter__(self) -> PartWriter:
        return self

    def write(self, batch: Batch) -> None:
        """Write a batch. Raises OSError where the disk is full."""
        if self._writer is None or batch.rows.schema != self._schema:
            self._open.close()
            path = self._spool._next()
            file = self._open.enter_context(path.open("wb"))
            self._schema = batch.rows.schema
            self._writer = pa.ipc.new_stream(file, self._schema, options=_OPTIONS)
            self._open.enter_context(self._writer)
            self._segments.append((path, []))
        self._writer.write_batch(batch.rows)
        self._segments[-1][1].append((batch.part, batch.first))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if kind is None:
            self._spool._keep(self._segments)
            return
        for path, _ in self._segments:
            path.unlink()
