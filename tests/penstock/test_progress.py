"""Progress lines: what jobs print is what the command line reads."""

from __future__ import annotations

import pytest

from jobs.common.progress import Progress as Printed
from penstock.progress import Progress, parse


def test_what_a_job_prints_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    """The job side's own line, with a name of several words and a note, comes back whole."""
    Printed("flights@2013-06-01 read", 3).advance(3, "2 files")
    assert parse(capsys.readouterr().out.strip()) == Progress("flights@2013-06-01 read", 3, 3, "2 files")


@pytest.mark.parametrize(
    "line", ["", "trained in 3/4 of the time", "[progress] of sorts", "progress trials 1/2"]
)
def test_other_lines_are_no_progress(line: str) -> None:
    """A line that only looks alike is left alone."""
    assert parse(line) is None


def test_a_prefix_does_not_hide_it() -> None:
    """Lines of a log may carry a time before."""
    assert parse("12:00:01 [progress] trials 1/0") == Progress("trials", 1, 0)
