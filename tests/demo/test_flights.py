"""The demo's data: the real year, laid out as a company's sources."""

from __future__ import annotations

import csv
import gzip
import hashlib
import sqlite3
from pathlib import Path

import pytest

from demo.flights import prepare
from penstock import connections


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "var"
    assert prepare(folder) == {"flights": 336_776, "weather": 26_115, "planes": 3_322, "airports": 1_458}
    return folder


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "days", "rows"), [("flights", 366, 336_776), ("weather", 364, 26_115)])
def test_every_row_lies_in_the_file_of_its_day(var: Path, name: str, days: int, rows: int) -> None:
    """Files are split by `time_hour` in UTC, in a folder a month; no row is lost or doubled."""
    files = sorted((var / "data" / name).rglob("*.csv.gz"))
    count = 0
    for path in files:
        assert path.parent.name == f"{path.name[:7]}-01"
        found = _rows(path)
        assert {row["time_hour"][:10] for row in found} == {path.name[:10]}
        count += len(found)
    assert (len(files), count) == (days, rows)


def test_the_tables_are_numbers_and_nulls(var: Path) -> None:
    """`reference` leads to planes and airports; what was NA is null, and years are numbers."""
    url = connections.resolve("reference", var)
    database = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert database.execute("select count(*), count(year), typeof(max(year)) from planes").fetchone() == (
        3322,
        3252,
        "integer",
    )
    assert database.execute("select lat, tz from airports where faa = 'JFK'").fetchone() == (40.639751, -5.0)


def test_what_is_there_is_left_alone(var: Path) -> None:
    """A second time writes nothing: fingerprints stay, and nothing is collected again."""
    path = next((var / "data" / "flights").rglob("*.csv.gz"))
    before = path.stat()
    assert prepare(var) == {}
    assert path.stat() == before


def test_the_same_rows_give_the_same_bytes(var: Path, tmp_path: Path) -> None:
    """Written elsewhere at another time, every file is the same to the byte."""
    prepare(tmp_path)

    def digests(folder: Path) -> dict[str, str]:
        paths = sorted((folder / "data" / "weather").rglob("*.gz"))
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    assert digests(var) == digests(tmp_path)
