"""What is found in suites without data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.check import suites
from penstock.findings import Checked
from penstock.settings import Settings


def find(folder: Path, columns: list[str] | None = None, **texts: str) -> list[tuple[str, str, str]]:
    """Severity, place and message of each finding in suites of these texts, for one source, `rows`."""
    settings = Settings(folder, folder / "var", f"file://{folder}/store", "sqlite:///none")
    suite = settings.expectations / "shift"
    suite.mkdir(parents=True)
    for name, text in texts.items():
        (suite / f"{name}.json").write_text(text)
    found = suites.check(
        Checked(name="shift", suites="shift", bundle="onnx", sources={"rows": columns or []}), settings
    )
    return [(each.severity, each.where, each.message) for each in found]


def text(*expectations: object) -> str:
    return json.dumps({"name": "rows", "expectations": list(expectations)})


NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "x"}, "severity": "critical"}


def test_a_sound_suite_has_no_finding(tmp_path: Path) -> None:
    """Known expectations, on columns that are declared or where nothing is."""
    assert find(tmp_path / "a", rows=text(NOT_NULL)) == []
    assert find(tmp_path / "b", ["x", "y"], rows=text(NOT_NULL)) == []


def test_a_missing_suite_is_a_warning(tmp_path: Path) -> None:
    """A source that nobody asks anything of passes, and is said."""
    ((severity, where, message),) = find(tmp_path)
    assert (severity, where) == ("warning", "expectations/shift/rows.json")
    assert message == "there is no suite, so nothing is asked of this source"


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        ("{", "it is no JSON"),
        ("[]", "it is no suite"),
        ('{"name": "n", "expectations": [{"type": "expect_magic"}]}', "knows no 'expect_magic'"),
        ('{"name": "n", "expectations": [{"kwargs": {}}]}', "it has no type"),
        (
            '{"name": "n", "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"col": "x"}}]}',
            "expect_column_values_to_not_be_null cannot be made",
        ),
    ],
)
def test_a_fault_in_a_suite_is_found(tmp_path: Path, suite: str, said: str) -> None:
    """A suite that does not load, or names what Great Expectations does not know."""
    ((severity, where, message),) = find(tmp_path, rows=suite)
    assert severity == "error"
    assert where.startswith("expectations/shift/rows.json")
    assert said in message


def test_a_column_that_is_not_declared_is_a_warning(tmp_path: Path) -> None:
    """Where the spec declares columns, an expectation on another one is probably a slip; collection may find it."""
    ((severity, where, message),) = find(tmp_path, ["y"], rows=text(NOT_NULL))
    assert (severity, where) == ("warning", "expectations/shift/rows.json: expectation 1")
    assert "names x, which the spec does not declare (declared: y)" in message


def test_a_suite_without_a_source_is_an_error(tmp_path: Path) -> None:
    """A suite that no source has the name of is read by nobody."""
    ((severity, where, message),) = find(tmp_path, rows=text(), row=text())
    assert (severity, where) == ("error", "expectations/shift/row.json")
    assert message == "no source is called 'row', so nobody reads it; sources: rows"
