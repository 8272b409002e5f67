"""The collected Parquet file: typed rows of the interval, and what there is to know of them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.collect.content import ContentDigest
from jobs.collect.conversion import EXPECTED, BadValue, convert
from jobs.collect.kinds import ARROW
from penstock.errors import DataError
from penstock.intervals import Interval

#: A row group is written when it has this many rows or bytes: large enough for Spark, small enough for memory.
_GROUP_ROWS = 131_072
_GROUP_BYTES = 32 << 20


class Output:
    """Writes a Parquet file batch by batch; rows whose time is outside the interval, or null, are dropped.

    `columns` gives each column's type by name (penstock.spec.sources.ColumnType), in order; `time` is the time
    column, or None for a snapshot. A context manager; `digest()` and `summary()` are complete after it.
    """

    def __init__(self, path: Path, columns: dict[str, str], time: str | None, interval: Interval) -> None:
        self.path, self.columns, self.rows, self.dropped = path, columns, 0, 0
        self._time, self._interval = time, interval
        self._time_min: datetime | None = None
        self._time_max: datetime | None = None
        self._nulls = dict.fromkeys(columns, 0)
        self._digest = ContentDigest()
        self._schema = pa.schema([(name, ARROW[type_]) for name, type_ in columns.items()])
        self._pending: list[pa.RecordBatch] = []

    def __enter__(self) -> Output:
        self._file = self.path.open("wb")
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._flush()
                self._writer.close()
            else:  # the file is given up; a full disk would only raise again
                with suppress(OSError):
                    self._writer.close()

    def add(self, part: str, first: int, raw: pa.RecordBatch) -> None:
        """Convert and write raw rows. Raises DataError naming part, row, column and value of one that does not
        fit its column's type."""
        rows = self._inside(self._typed(part, first, raw))
        if not rows.num_rows:
            return
        self._digest.update(rows)
        self._count(rows)
        self._pending.append(rows)
        if (
            sum(batch.num_rows for batch in self._pending) >= _GROUP_ROWS
            or sum(batch.nbytes for batch in self._pending) >= _GROUP_BYTES
        ):
            self._flush()

    def digest(self) -> str:
        """The digest of the rows written."""
        return self._digest.hexdigest(self.columns)

    def summary(self) -> dict[str, Any]:
        """Rows, what was dropped, the range of time (ISO 8601, UTC), types and null counts."""
        return {
            "rows": self.rows,
            "dropped": self.dropped,
            "time_min": self._time_min and self._time_min.isoformat(),
            "time_max": self._time_max and self._time_max.isoformat(),
            "columns": self.columns,
            "nulls": self._nulls,
        }

    def _typed(self, part: str, first: int, raw: pa.RecordBatch) -> pa.RecordBatch:
        arrays = []
        names = set(raw.schema.names)
        for name, wanted in self.columns.items():
            if name not in names:
                arrays.append(pa.nulls(raw.num_rows, ARROW[wanted]))
                continue
            try:
                arrays.append(convert(raw.column(name), wanted))
            except BadValue as bad:
                raise DataError(
                    f"{part}, row {first + bad.index}, column {name!r}: found {_short(bad.value)}, "
                    f"expected {EXPECTED[bad.wanted]} ({wanted})",
                    next_step="correct the value at the source, or the column's type in columns=",
                ) from None
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _inside(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if self._time is None:
            return rows
        time = rows.column(self._time)
        kind = ARROW["timestamp"]
        inside = pc.and_(
            pc.greater_equal(time, pa.scalar(self._interval.start, kind)),
            pc.less(time, pa.scalar(self._interval.end, kind)),
        )
        kept = rows.filter(inside)
        self.dropped += rows.num_rows - kept.num_rows
        return kept

    def _count(self, rows: pa.RecordBatch) -> None:
        self.rows += rows.num_rows
        for name, values in zip(self.columns, rows.columns, strict=True):
            self._nulls[name] += values.null_count
        if self._time is not None:
            span = pc.min_max(rows.column(self._time)).as_py()
            self._time_min = min(span["min"], self._time_min or span["min"])
            self._time_max = max(span["max"], self._time_max or span["max"])

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending).combine_chunks())
            self._pending.clear()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
