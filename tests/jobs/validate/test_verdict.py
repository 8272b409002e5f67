"""The data gate: what stops a run, what is recorded, and what is said of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.validate.checks import ROWS
from penstock.errors import DataError, KeyMismatch, SpecError
from penstock.results import StageResult
from tests.jobs.validate.conftest import expectation

TABLE = pa.table(
    {"carrier": ["UA", "AA", "zz", None], "delay": [5, -3, 2000, None], "x": [0.5, None, 1.5, 2.5]}
)
NOT_NULL = expectation("column_values_to_not_be_null", column="x", mostly=0.7)
CARRIERS = expectation("column_values_to_match_regex", column="carrier", regex="^[A-Z0-9]{2}$")
DELAYS = expectation("column_values_to_be_between", column="delay", min_value=-60, max_value=1440)


def test_a_suite_that_holds_passes(validate) -> None:
    """All expectations hold: the gate passes, and the summary counts them."""
    found = validate(TABLE, [NOT_NULL, expectation("table_row_count_to_be_between", min_value=4)])
    assert found.done.state == "ran"
    assert found.gate.passed
    assert found.gate.observed == "0 of 2 expectations failed"
    assert found.done.summary == {"expectations": 2, "failed": [], "warnings": [], "engine": "pandas"}


def test_a_critical_failure_refuses(validate) -> None:
    """Each failed expectation is named with its arguments, what was observed, and the rows that offend."""
    found = validate(TABLE, [NOT_NULL, CARRIERS, DELAYS])
    assert found.done.state == "refused"
    assert not found.gate.passed
    assert found.gate.observed == "2 of 3 expectations failed"
    assert found.gate.why.splitlines() == [
        'critical: expect_column_values_to_match_regex(column="carrier", regex="^[A-Z0-9]{2}$"): '
        "1 of 4 rows unexpected: zz",
        '  {"carrier": "zz", "delay": 2000, "x": 1.5}',
        'critical: expect_column_values_to_be_between(column="delay", min_value=-60.0, max_value=1440.0): '
        "1 of 4 rows unexpected: 2000",
        '  {"delay": 2000, "carrier": "zz", "x": 1.5}',
    ]
    assert "correct the data at the source" in found.gate.next_step
    assert len(found.done.summary["failed"]) == 2


def test_a_warning_is_recorded_and_passes(validate) -> None:
    """An expectation of severity warning (or info) that fails stops nothing, and is said."""
    found = validate(TABLE, [NOT_NULL, {**DELAYS, "severity": "warning"}, {**CARRIERS, "severity": "info"}])
    assert found.done.state == "ran"
    assert found.gate.passed
    assert found.gate.observed == "0 of 3 expectations failed, 2 more with a warning"
    assert "warning: expect_column_values_to_be_between" in found.gate.why
    assert found.done.summary["failed"] == []
    assert len(found.done.summary["warnings"]) == 2


def test_severity_is_critical_unless_said(validate) -> None:
    """An expectation without a severity stops the run."""
    without = {key: value for key, value in DELAYS.items() if key != "severity"}
    assert validate(TABLE, [without]).done.state == "refused"


def test_at_most_twenty_rows_are_kept(validate) -> None:
    """Of many offending rows twenty are kept, in the report and in the gate's words."""
    table = pa.table({"n": range(100)})
    found = validate(table, [expectation("column_values_to_be_between", column="n", min_value=50)])
    (check,) = found.report["checks"]
    assert [row["n"] for row in check["rows"]] == list(range(ROWS)) == list(range(20))
    assert check["observed"] == "50 of 100 rows unexpected: 0, 1, 2, 3, 4, …"
    assert len(found.gate.why.splitlines()) == 21


def test_infinity_and_no_value_can_be_written(validate) -> None:
    """The report stays JSON whatever the offending rows hold."""
    table = pa.table({"x": [float("inf"), 1.0], "y": [None, 1.0]})
    found = validate(table, [expectation("column_values_to_be_between", column="x", max_value=5)])
    assert found.report["checks"][0]["rows"] == [{"x": "inf", "y": None}]


def test_what_cannot_be_evaluated_fails(validate) -> None:
    """A number's bound on text is no success: it says that it cannot be evaluated."""
    found = validate(TABLE, [expectation("column_mean_to_be_between", column="carrier", min_value=0)])
    assert found.done.state == "refused"
    assert "cannot be evaluated: " in found.gate.why


def test_a_gate_that_is_off_says_so(validate) -> None:
    """Switched off in the spec, it evaluates and reports all the same, and lets the data pass."""
    found = validate(TABLE, [DELAYS], gate=False)
    assert found.done.state == "ran"
    assert (found.gate.passed, found.gate.off) == (True, True)
    assert found.gate.observed == "1 of 1 expectations failed"
    assert found.gate.why.startswith("the gate is switched off in the spec")
    assert found.done.summary["failed"]


def test_no_rows_leave_nothing_to_check(validate) -> None:
    """An empty interval passes without evaluating anything, and says so."""
    found = validate(TABLE.slice(0, 0), [expectation("table_row_count_to_be_between", min_value=1)])
    assert found.done.state == "ran"
    assert found.gate.passed
    assert found.gate.observed == "no rows"
    assert found.report == {"suite": "things", "engine": None, "skipped": "no rows", "checks": []}
    assert "nothing was checked" in (found.docs / "index.html").read_text()


def test_a_column_that_is_not_there_is_named(validate, driver) -> None:
    """A suite that names a renamed column stops before anything is evaluated or written: both names are said."""
    suite = [
        expectation("column_values_to_not_be_null", column="departure_delay"),
        expectation("compound_columns_to_be_unique", column_list=["carrier", "flight"]),
        expectation("column_pair_values_to_be_equal", column_A="x", column_B="xx"),
    ]
    with pytest.raises(DataError) as refused:
        validate(TABLE.rename_columns(["carrier", "dep_delay", "x"]), suite)
    message = refused.value.message
    assert "suite 'things' names columns that things@2013-06-01 does not have" in message
    assert "'departure_delay' in expect_column_values_to_not_be_null (is it 'dep_delay' now?)" in message
    assert "'flight' in expect_compound_columns_to_be_unique" in message
    assert "'xx' in expect_column_pair_values_to_be_equal" in message
    assert message.endswith("Its columns are carrier, dep_delay, x")
    assert not driver.store.exists("example/validate")


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        ("{", "is no suite of Great Expectations: Expecting property name"),
        ("[]", "is no suite of Great Expectations"),
        ('{"name": "x"}', "no 'expectations'"),
        ([], "holds no expectation"),
        ([{"kwargs": {}}], "no 'type'"),
        ([expectation("column_values_to_be_purple", column="x")], "expect_column_values_to_be_purple"),
        ([expectation("column_values_to_be_between", column="x", least=1)], "least"),
        ([{**DELAYS, "severity": "fatal"}], "severity"),
    ],
)
def test_a_file_that_is_no_suite_is_named(validate, suite: object, words: str) -> None:
    """A misspelt expectation, argument or severity is an error, never an expectation less."""
    with pytest.raises(SpecError, match=re.escape(words)) as refused:
        validate(TABLE, suite)
    assert "things.json" in str(refused.value)


def test_docs_stand_alone(validate) -> None:
    """Data Docs are a page that loads nothing and leads nowhere, with every expectation and what was observed."""
    found = validate(
        TABLE, [CARRIERS, NOT_NULL, expectation("column_mean_to_be_between", column="x", min_value=0)]
    )
    assert [path.name for path in found.docs.rglob("*")] == ["index.html"]
    page = (found.docs / "index.html").read_text()
    links = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page) + re.findall(r"url\(([^)]*)\)", page)
    assert [link for link in links if not link.startswith("#")] == []
    assert "<script" not in page
    for words in (
        "things@2013-06-01",
        "2 of 3 expectations hold",
        "carrier",
        "values must match this regular",
        "zz",
    ):
        assert words in page


def test_values_cannot_break_out_of_the_page(validate) -> None:
    """What the data holds is text in Data Docs, not markup."""
    table = pa.table({"name": ["<script>alert(1)</script>", "b"]})
    found = validate(table, [expectation("column_values_to_be_in_set", column="name", value_set=["b"])])
    assert "<script" not in (found.docs / "index.html").read_text()


def test_the_process_commits_a_refusal(driver, item_of, tmp_path: Path) -> None:
    """A refusal is a result: committed with its gate and reports, so that it is not evaluated again. Nothing is
    written outside the state's folder, and no usage is reported."""
    home = tmp_path / "home"
    home.mkdir()
    item = item_of(TABLE, [CARRIERS, NOT_NULL])
    ran = driver.process(item, tmp_path, environment={"HOME": str(home), "TMPDIR": str(home)})
    assert ran.status == 0, ran.said
    result = ran.result
    assert isinstance(result, StageResult)
    assert (result.state, result.outputs) == ("refused", ["docs", "validation.json"])
    assert [gate.passed for gate in result.gates] == [False]
    assert "[progress] things@2013-06-01 expectations 2/2" in ran.said
    report = json.loads(driver.store.read_bytes(f"{result.path}/validation.json"))
    assert [check["passed"] for check in report["checks"]] == [False, True]
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_another_suite_than_was_planned_is_refused(driver, item_of, tmp_path: Path) -> None:
    """The suite here is not the one that the key names, as in an image of other files: nothing is committed."""
    item = item_of(TABLE, [NOT_NULL])
    Path(item.inputs["suite"].path).write_text("{}")
    ran = driver.process(item, tmp_path)
    assert (ran.status, ran.outcome.kind, ran.result) == (KeyMismatch.exit_code, KeyMismatch.kind, None)
    assert "things.json than is here" in ran.said
