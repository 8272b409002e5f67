"""Spark writes a part a task; a person wants one file. The parts are put together in order, then renamed."""

from __future__ import annotations

import csv
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path


def into(output: Path, parts: Path, columns: Sequence[str]) -> int:
    """Make the parts below `parts` (CSV without header, or Parquet) one file, and return its rows.

    The file appears whole, under its name, at the end; what was there before stays until then. Raises OSError.
    """
    partial = output.with_name(f".{output.name}.{uuid.uuid4().hex[:8]}")
    try:
        rows = _csv(partial, parts, columns) if output.suffix == ".csv" else _parquet(partial, parts)
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _csv(partial: Path, parts: Path, columns: Sequence[str]) -> int:
    with partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(columns)
    with partial.open("ab") as target:
        for part in sorted(parts.glob("part-*.csv")):
            with part.open("rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
    with partial.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1  # a quoted value may hold a line break


def _parquet(partial: Path, parts: Path) -> int:
    import pyarrow.parquet as pq

    writer, rows = None, 0
    try:
        for part in sorted(parts.glob("part-*.parquet")):
            source = pq.ParquetFile(part)
            writer = writer or pq.ParquetWriter(partial, source.schema_arrow)
            for batch in source.iter_batches():
                writer.write_batch(batch)
                rows += batch.num_rows
    finally:
        if writer is not None:
            writer.close()
    return rows
