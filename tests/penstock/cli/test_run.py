"""`penstock run` without Spark: options, early ends, exit statuses. A whole run to a live function: test_run_live.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from penstock import Pipeline, days, files
from penstock.cli import run
from penstock.errors import PenstockError
from penstock.intervals import Interval, containing
from penstock.settings import Settings
from tests.penstock.cli.conftest import Penstock
from tests.penstock.shop import write

STEPS = [
    "collect@2024-01-01", "collect@2024-02-01", "validate@2024-01-01", "validate@2024-02-01",
    "features", "train", "register", "validate_model", "deploy",
]  # fmt: skip


@pytest.fixture
def rows(shift: Settings) -> Path:
    """The folder of the pipeline's files, empty."""
    folder = shift.root / "data"
    folder.mkdir()
    return folder


def test_an_empty_interval_is_a_good_end(penstock: Penstock, rows: Path) -> None:
    """A skipped run exits 0 and says that its interval has no rows."""
    ran = penstock("run", "shift", "--json", "--note", "a try")
    assert ran.code == 0
    answer = ran.answer
    assert (answer["state"], answer["version"], answer["url"], answer["failure"]) == (
        "skipped",
        None,
        None,
        None,
    )
    stages = {stage["name"]: stage for stage in answer["stages"]}
    assert list(stages) == STEPS
    empty = stages["collect@2024-02-01"]
    assert (empty["state"], len(empty["key"])) == ("skipped", 32)
    assert Path(answer["log"]).is_file()
    assert "collect@2024-02-01 | " in ran.stderr
    logged = penstock("logs", "shift", "--run", "last", "-n", "1", "--json").answer
    assert logged["run"] == answer["run"]
    assert len(logged["lines"]) == 1
    explained = penstock("explain", answer["run"][:-1], "--json").answer
    assert (explained["run"], explained["note"]) == (answer["run"], "a try")


def test_bad_data_exits_with_its_status(penstock: Penstock, rows: Path) -> None:
    """A failed run exits as its failure does, and the table's end repeats what to do."""
    write(rows / "2024-02-01.csv", "row,y\na,1\n")
    ran = penstock("run", "shift", "--json")
    assert ran.code == 4
    assert ran.answer["state"] == "failed"
    assert ran.answer["failure"]["kind"] == "data"
    ran = penstock("run", "shift")
    assert ran.code == 4
    assert "To do:" in ran.stdout


@pytest.mark.parametrize("content", ["row,y\na,1\n", None], ids=["failed", "skipped"])
def test_what_never_began_is_skipped(penstock: Penstock, rows: Path, content: str | None) -> None:
    """A run that fails or skips early names every stage of the chain: those it never came to without key and time."""
    if content is not None:
        write(rows / "2024-02-01.csv", content)
    ran = penstock("run", "shift", "--json")
    assert [stage["name"] for stage in ran.answer["stages"]] == STEPS
    for stage in ran.answer["stages"][-6:]:
        assert (stage["state"], stage["key"], stage["seconds"]) == ("skipped", None, 0.0)
        assert stage["why"] == "never began: the run ended at collect@2024-02-01"
    shown = penstock("run", "shift").stdout
    assert all(name in shown for name in STEPS)


def test_data_that_its_gate_refuses_exits_6(penstock: Penstock, shift: Settings, rows: Path) -> None:
    """A suite that fails ends the run as failed, with the gate's words and status."""
    for month in ("2024-01", "2024-02"):
        write(rows / f"{month}-01.csv", f"row,at,y\na,{month}-05T00:00:00Z,1\na,{month}-06T00:00:00Z,2\n")
    unique = {
        "type": "expect_column_values_to_be_unique",
        "kwargs": {"column": "row"},
        "severity": "critical",
    }
    suite = {"name": "rows", "expectations": [unique]}
    write(shift.expectations / "shift" / "rows.json", json.dumps(suite))
    ran = penstock("run", "shift", "--json")
    assert ran.code == 6
    assert (ran.answer["state"], ran.answer["failure"]["kind"]) == ("failed", "refused")
    refused = [gate for gate in ran.answer["gates"] if not gate["passed"]]
    assert {gate["name"] for gate in refused} == {"data"}
    assert "expect_column_values_to_be_unique" in refused[0]["why"]
    states = {stage["name"]: stage["state"] for stage in ran.answer["stages"]}
    assert "refused" in states.values()
    assert {states[stage] for stage in ("features", "train", "register", "validate_model", "deploy")} == {
        "skipped"
    }


def test_a_range_runs_each_interval_in_turn(penstock: Penstock, rows: Path) -> None:
    """--from and --to, both included, give one answer with a run an interval, oldest first."""
    ran = penstock("run", "shift", "--from", "2024-01-15", "--to", "2024-02-01", "--json")
    assert ran.code == 0
    assert [run["interval"]["start"][:10] for run in ran.answer["runs"]] == ["2024-01-01", "2024-02-01"]
    assert {run["state"] for run in ran.answer["runs"]} == {"skipped"}


def test_a_range_stops_at_the_first_that_fails(penstock: Penstock, rows: Path) -> None:
    """What comes after a failed run is not tried: it would rest on the same data."""
    write(rows / "2024-01-01.csv", "row,y\na,1\n")
    ran = penstock("run", "shift", "--from", "2024-01-01", "--to", "2024-02-01", "--json")
    assert ran.code == 4
    assert [run["state"] for run in ran.answer["runs"]] == ["failed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "2024-01-01"], "--from and --to go together"),
        (["--date", "2024-01-01", "--from", "2024-01-01", "--to", "2024-01-01"], "without --date"),
        (["--from", "2024-02-01", "--to", "2024-01-01"], "is before"),
        (["--date", "June"], "--date is 'June': expected a date such as 2013-06-01"),
        (["--date", "2030-01-01"], "outside pipeline 'shift'"),
        (["--force", "cooking"], "expected one of collect, validate, features"),
        (["--airflow"], "penstock up"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_starts(
    penstock: Penstock, shift: Settings, options: list[str], said: str
) -> None:
    """A wrong option or date, or an Airflow that does not run: an error, and no run's record."""
    ran = penstock("run", "shift", *options)
    assert ran.code == 1
    assert said in ran.stderr
    assert not (shift.var / "store" / "shift").exists()


@pytest.mark.parametrize("by", [[], ["--airflow"]])
def test_a_run_that_cannot_begin_is_refused_before_airflow_is_asked(
    penstock: Penstock, shift: Settings, by: list[str]
) -> None:
    """Trials for a grid, and a folder of suites that is not there: said at once, here and with --airflow."""
    path = shift.dags / "shift" / "pipeline.py"
    spec = path.read_text()
    path.write_text(
        spec.replace('metric="rmse"', 'metric="rmse", search={"method": "grid", "depth": [2, 3]}')
    )
    ran = penstock("run", "shift", "--trials", "5", *by)
    assert ran.code == 1
    assert "is a grid" in ran.stderr
    path.write_text(spec.replace('metric="rmse"', 'metric="rmse", expectations="nope"'))
    ran = penstock("run", "shift", *by)
    assert ran.code == 2
    assert "expectations/nope" in ran.stderr
    assert not (shift.var / "store" / "shift").exists()


@pytest.mark.parametrize(
    ("schedule", "day", "asked"),
    [
        ("@monthly", "2024-06-15", "2024-06-01"),
        ("@daily", "2024-06-15", "2024-06-15"),
        ("30 6 * * *", "2024-06-15T12:00", "2024-06-16"),
    ],
)
def test_the_trigger_form_is_given_a_day_of_the_interval(schedule: str, day: str, asked: str) -> None:
    """Airflow takes days only: the one that is given falls into the interval again, also where it starts at 06:30."""
    pipeline = Pipeline(
        name="p", problem="p", owner="o", task="regression", label="y", time="at", id="row", metric="rmse",
        sources=[files("rows", "x", time="at")], schedule=schedule, start="2024-01-01", window=days(90),
    )  # fmt: skip
    interval = containing(pipeline, datetime.fromisoformat(day).replace(tzinfo=UTC))
    assert run._day(interval) == asked
    assert containing(pipeline, datetime.fromisoformat(asked).replace(tzinfo=UTC)) == interval


def test_an_interval_within_a_day_cannot_be_asked_of_the_form() -> None:
    """An hour has no day of its own: said, instead of running for midnight."""
    hour = Interval(start=datetime(2024, 6, 1, 5, tzinfo=UTC), end=datetime(2024, 6, 1, 6, tzinfo=UTC))
    with pytest.raises(PenstockError, match="takes a day"):
        run._day(hour)


def start(rows: Path) -> subprocess.Popen[str]:
    """`penstock run shift` as a process of its own, whose first job has begun and waits for its file's content."""
    for month in ("2024-01-01", "2024-02-01"):
        os.mkfifo(rows / f"{month}.csv")  # whoever reads it waits for a writer
    command = "from penstock.cli.main import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", command, "run", "shift", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr is not None
    while " key " not in (line := running.stderr.readline()):
        assert line, "the command ended before a job began"
    return running


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_says_so(rows: Path, sent: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the job, then the command, with the shell's status and one JSON document."""
    running = start(rows)
    running.send_signal(sent)
    stdout, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert json.loads(stdout)["error"]["kind"] == "interrupted"


def test_a_run_that_is_killed_does_not_run_for_ever(penstock: Penstock, rows: Path) -> None:
    """After SIGKILL, at which nobody can write an end: running while its process lives, then interrupted, with a way on."""
    running = start(rows)
    jobs = psutil.Process(running.pid).children(recursive=True)
    (during,) = penstock("status", "shift", "--json").answer["pipelines"]
    running.kill()
    running.communicate()
    for job in jobs:  # their own group: they outlive the command
        job.kill()
    (after,) = penstock("status", "shift", "--json").answer["pipelines"]
    assert (during["last_run"]["state"], after["last_run"]["state"]) == ("running", "interrupted")
    assert "run again" in after["last_run"]["why"]
    assert "interrupted" in penstock("status").stdout
    assert penstock("explain", "last", "--json").answer["state"] == "interrupted"
