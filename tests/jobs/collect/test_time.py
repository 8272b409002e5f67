"""Time: a source gives the rows of its interval, and nothing else."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock import files
from penstock.errors import DataError


def test_rows_outside_the_interval_are_dropped_and_counted(collect, tmp_path: Path) -> None:
    """The interval is half-open, and naive times are UTC; a row without a time belongs to no interval."""
    times = ["2013-05-31T23:59:59Z", "2013-06-01", "2013-07-01T01:59:59+02:00", "2013-07-01 00:00:00", "NA"]
    (tmp_path / "a.csv").write_text("n,at\n" + "".join(f"{i},{at}\n" for i, at in enumerate(times)))
    found = collect(files("things", str(tmp_path / "a.csv"), time="at"))
    assert [row["n"] for row in found.rows] == [1, 2]
    assert (found.summary["rows"], found.summary["dropped"]) == (2, 3)
    assert found.summary["time_min"] == "2013-06-01T00:00:00+00:00"
    assert found.summary["time_max"] == "2013-06-30T23:59:59+00:00"
    assert found.rows[0]["at"] == datetime(2013, 6, 1, tzinfo=UTC)


def test_what_is_dropped_is_not_content(collect, tmp_path: Path) -> None:
    """Rows of other intervals in the same files do not change the digest, nor the counts of nulls."""
    (tmp_path / "a.csv").write_text("n,at\n1,2013-06-02\n")
    (tmp_path / "b.csv").write_text("n,at\n1,2013-06-02\n,2013-08-02\n")
    one, other = (collect(files("things", str(tmp_path / name), time="at")) for name in ("a.csv", "b.csv"))
    assert one.digest == other.digest
    assert other.summary["nulls"] == {"n": 0, "at": 0}


def test_the_template_picks_the_interval(collect, tmp_path: Path) -> None:
    """The URI is rendered for the interval, and `var` is the folder of this installation's state."""
    folder = tmp_path / "var" / "data" / "2013-06-01"
    folder.mkdir(parents=True)
    (folder / "a.csv.gz").write_bytes(gzip.compress(b"n,at\n1,2013-06-02\n"))
    found = collect(files("things", "{{ var }}/data/{{ interval }}/*.csv.gz", time="at"))
    assert found.summary["rows"] == 1


def test_no_file_is_an_empty_interval(collect, tmp_path: Path) -> None:
    """A source with time and no file gives zero rows, with the declared columns."""
    found = collect(files("things", str(tmp_path / "none" / "*.csv"), time="at", columns={"n": "long"}))
    assert found.rows == []
    assert found.summary["columns"] == {"n": "long", "at": "timestamp"}
    assert found.summary["time_min"] is None


def test_no_file_is_an_error_for_a_snapshot(collect, tmp_path: Path) -> None:
    """A snapshot is read whole as it stands: none at all is named, with its place."""
    with pytest.raises(DataError, match=r"source 'things': there is no file at .*/none/\*\.csv"):
        collect(files("things", str(tmp_path / "none" / "*.csv")))


def test_an_empty_snapshot_is_an_error(collect, tmp_path: Path) -> None:
    """A snapshot without rows would make every join empty."""
    (tmp_path / "a.csv").write_text("n\n")
    with pytest.raises(DataError, match="source 'things' gave no rows"):
        collect(files("things", str(tmp_path / "a.csv")))


def test_a_time_that_is_none_is_named(collect, tmp_path: Path) -> None:
    """A time column that holds something else names file, row and value."""
    (tmp_path / "a.csv").write_text("n,at\n1,2013-06-02\n2,next tuesday\n")
    with pytest.raises(
        DataError, match=r"a\.csv, row 2, column 'at': found 'next tuesday', expected a time as in"
    ):
        collect(files("things", str(tmp_path / "a.csv"), time="at"))


def test_numbers_are_no_times(collect, tmp_path: Path) -> None:
    """Numbers could be seconds or milliseconds: they are refused, not guessed."""
    (tmp_path / "a.jsonl").write_text('{"at": 1370044800}\n')
    with pytest.raises(DataError, match="row 1, column 'at': found 1370044800"):
        collect(files("things", str(tmp_path / "a.jsonl"), time="at"))
