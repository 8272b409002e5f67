"""JSON lines: one object a line; a key that a line leaves out is null there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import IO, Any

import orjson
import pyarrow as pa

from jobs.collect.batches import CHUNK_ROWS, Batch, Batches
from jobs.collect.values import column
from penstock.errors import DataError


def read_jsonl(stream: IO[bytes], part: str, null: list[str], declared: Mapping[str, str]) -> Batches:
    """Batches of the lines' values; text that equals one of `null` is null, nested values are JSON text.

    Empty lines are left out. Raises DataError for a line that is no JSON object, naming it.
    """
    records = _records(stream, part)
    first = 1
    while chunk := list(islice(records, CHUNK_ROWS)):
        names = list(dict.fromkeys(name for record in chunk for name in record))
        columns = [
            column(
                [_value(record.get(name), null) for record in chunk],
                declared=declared.get(name),
                where=f"{part}, rows {first} to {first + len(chunk) - 1}, column {name!r}",
            )
            for name in names
        ]
        yield Batch(part, first, pa.RecordBatch.from_arrays(columns, names=names), loose=True)
        first += len(chunk)


def _records(stream: IO[bytes], part: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            record = _parsed(line)
        except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
            raise DataError(
                f"{part}, line {number} is not JSON in UTF-8: {error}",
                next_step="write one JSON object a line",
            ) from None
        if not isinstance(record, dict):
            raise DataError(
                f"{part}, line {number} holds a {type(record).__name__}: expected an object",
                next_step="write one JSON object a line",
            )
        yield record


def _parsed(line: bytes) -> Any:
    """The line's value. orjson shares the names of keys between lines, which are most of what a chunk holds."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:  # it refuses what Python writes (NaN, Infinity), and a byte order mark
        return json.loads(line.decode("utf-8-sig"))


def _value(value: Any, null: list[str]) -> Any:
    return None if isinstance(value, str) and value in null else value
