"""CSV as text, column by column: types are found when all rows are known."""

from __future__ import annotations

import csv
import io
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from jobs.collect.batches import Batch, Batches
from jobs.collect.conversion import BadValue, to_text
from penstock.errors import DataError

#: Bytes that are parsed at once; a row must fit in them.
_BLOCK = 1 << 19


def read_csv(stream: IO[bytes], part: str, null: list[str]) -> Batches:
    """Batches of text columns; values that equal one of `null` are null.

    The first line names the columns; fields may be quoted and hold line ends (RFC 4180); the encoding is UTF-8.
    Raises DataError for a broken header or row, and for text that is not UTF-8.
    """
    buffered = io.BufferedReader(cast(io.RawIOBase, stream), buffer_size=1 << 20)
    names = _header(buffered, part)
    try:
        reader = arrow_csv.open_csv(
            buffered,
            read_options=arrow_csv.ReadOptions(column_names=names, block_size=_BLOCK, use_threads=False),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()), null_values=[], strings_can_be_null=False
            ),
        )
        first = 1
        for rows in reader:
            yield Batch(part, first, _text(rows, part, first, null), text=True)
            first += rows.num_rows
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            yield Batch(part, 1, _no_rows(names), text=True)
            return
        raise DataError(
            f"{part} is not CSV (the first line names {len(names)} columns): {error}",
            next_step="correct the file, or declare its format",
        ) from None


def _header(stream: IO[bytes], part: str) -> list[str]:
    def lines() -> object:
        while line := stream.readline():
            yield line.decode("utf-8-sig")

    try:
        names = next((row for row in csv.reader(lines()) if row), None)  # type: ignore[arg-type]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the first line of {part} is not UTF-8 text: {error}",
            next_step="write the file as UTF-8 CSV with the column names in its first line",
        ) from None
    if names is None:
        raise DataError(
            f"{part} is empty: expected a first line with the column names", next_step="write it again"
        )
    if wrong := [f"number {i} has no name" for i, name in enumerate(names, 1) if not name.strip()] + [
        f"{name!r} is there {names.count(name)} times"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]:
        raise DataError(
            f"the columns of {part} are not clear: {'; '.join(wrong)}",
            next_step="give each column a name of its own in the file's first line",
        )
    return names


def _text(rows: pa.RecordBatch, part: str, first: int, null: list[str]) -> pa.RecordBatch:
    tokens = pa.array(null, pa.string())
    columns = []
    for name, values in zip(rows.schema.names, rows.columns, strict=True):
        try:
            text = to_text(values)
        except BadValue as bad:
            raise DataError(
                f"{part}, row {first + bad.index}, column {name!r}: {bad.value!r} is not UTF-8",
                next_step="write the file in UTF-8",
            ) from None
        missing = pc.is_in(text, value_set=tokens)
        columns.append(pc.if_else(missing, pa.scalar(None, pa.string()), text))
    return pa.RecordBatch.from_arrays(columns, names=rows.schema.names)


def _no_rows(names: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], pa.schema([(name, pa.string()) for name in names]))
