"""A source of files: each file in turn, in the order of their names, whatever its format and compression."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.collect.batches import Batch, Batches
from jobs.collect.compression import readable, streams
from jobs.collect.csv_reader import read_csv
from jobs.collect.json_reader import read_jsonl
from penstock.errors import DataError
from penstock.redaction import redact
from penstock.source_files import SourceFiles
from penstock.spec.sources import Files

_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
_PARQUET_ROWS = 65_536


def read_file(files: SourceFiles, path: str) -> Batches:
    """The batches of one file. Raises DataError where its content is broken, SourceUnavailable where its
    filesystem stops to answer; both name it."""
    part = redact(path)
    for name, member, stream in streams(files.open(path), path, part):
        form = files.source.format or _format_of(name, member)
        with readable(member):
            yield from _read(files.source, form, stream, member)


def _read(source: Files, form: str, stream: IO[bytes], part: str) -> Batches:
    if form == "csv":
        yield from read_csv(stream, part, source.null)
    elif form == "jsonl":
        yield from read_jsonl(stream, part, source.null, source.columns or {})
    else:
        yield from _read_parquet(stream, part)


def _read_parquet(stream: IO[bytes], part: str) -> Batches:
    first = 1
    try:
        # Without pre-buffering a row group is read page by page, not whole.
        file = pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)
        for rows in file.iter_batches(batch_size=_PARQUET_ROWS, use_threads=False):
            yield Batch(part, first, rows)
            first += rows.num_rows
        if first == 1:
            yield Batch(part, 1, pa.RecordBatch.from_pylist([], file.schema_arrow))
    except pa.ArrowInvalid as error:
        raise DataError(
            f"{part} is no whole Parquet file: {error}", next_step="fetch or write the file again, whole"
        ) from None


def _format_of(name: str, part: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in _FORMATS:
        raise DataError(
            f"the format of {part} is not clear from its name (known endings: {', '.join(_FORMATS)}, "
            "each also with .gz, .bz2, .xz, .zst or .zip)",
            next_step='declare it: format="csv", "jsonl" or "parquet"',
        )
    return _FORMATS[suffix]
