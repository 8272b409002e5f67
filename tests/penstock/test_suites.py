"""Suites that nobody would read, and sources that nobody asks anything of."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.suites import misplaced
from tests.penstock.shop import write


def find(expectations: Path, suites: str) -> list[tuple[str, str]]:
    """Severity and place of what is misplaced for the pipeline `shift` with the source `rows`."""
    return [(each.severity, each.where) for each in misplaced("shift", suites, ["rows"], expectations)]


def test_a_named_folder_must_be_there(tmp_path: Path) -> None:
    """A slip in the folder's name would validate nothing; the folders that are there are named."""
    write(tmp_path / "common" / "rows.json", "{}")
    (found,) = misplaced("shift", "nope", ["rows"], tmp_path)
    assert (found.severity, found.where) == ("error", "expectations/nope")
    assert "folders here: common" in found.message
    assert find(tmp_path, "common") == []


def test_a_pipeline_may_have_no_suites(tmp_path: Path) -> None:
    """Its own folder is looked for without having been named: that it is not there is no slip."""
    assert find(tmp_path, "shift") == []


@pytest.mark.parametrize(("suites", "severity"), [("shift", "error"), ("common", "warning")])
def test_a_suite_is_named_after_a_source(tmp_path: Path, suites: str, severity: str) -> None:
    """In the pipeline's own folder nobody else reads it; in a shared one another pipeline may."""
    for name in ("rows", "row"):
        write(tmp_path / suites / f"{name}.json", "{}")
    assert find(tmp_path, suites) == [(severity, f"expectations/{suites}/row.json")]
