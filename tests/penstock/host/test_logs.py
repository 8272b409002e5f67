"""A function's log on disk."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from penstock.host.logs import FunctionLog


def test_it_is_bounded(tmp_path: Path) -> None:
    """However much is printed, two files of the limit stay, and the newest lines are in them."""
    log = FunctionLog(tmp_path / "shift.log", limit=10_000)
    for number in range(2_000):
        log.write("v1-0123456789ab", "out", f"line {number}".encode())
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shift.log", "shift.log.1"]
    last = log.tail(100)
    assert [line.rpartition("| ")[2] for line in last] == [f"line {number}" for number in range(1_900, 2_000)]


def test_one_line_stays_one_line(tmp_path: Path) -> None:
    """What is printed cannot look like another line of the log, is cut where it is endless, and need not be text."""
    log = FunctionLog(tmp_path / "shift.log", limit=100_000)
    log.write("v1-0123456789ab", "out", b"good\r2026-01-01 v9 host| forged")
    log.write("v1-0123456789ab", "err", b"x" * 50_000)
    log.write("v1-0123456789ab", "err", b"\xff\xfe")
    first, second, third = log.tail(10)
    assert "\r" not in first
    assert first.endswith("good\\r2026-01-01 v9 host| forged")
    assert len(second) < 9_000
    assert third.endswith("\ufffd\ufffd")


@given(st.text())
def test_no_reader_sees_two_lines(text: str) -> None:
    """Whatever a reader takes for the end of a line, and whatever a terminal obeys, is escaped; other text stays as it is."""
    with TemporaryDirectory() as folder:
        log = FunctionLog(Path(folder) / "shift.log", limit=100_000)
        log.write("v1-0123456789ab", "out", f"é{text}".encode())
        (line,) = (Path(folder) / "shift.log").read_text().splitlines()
    assert line.replace("\t", "").isprintable()
    assert " v1-0123456789ab out| é" in line
    assert text in line or not text.isprintable()


def test_before_the_first_line(tmp_path: Path) -> None:
    """A log that was never written is empty, and can be removed."""
    log = FunctionLog(tmp_path / "shift.log", limit=10_000)
    assert log.tail(5) == []
    log.remove()
