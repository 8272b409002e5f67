"""Run notes: the verdict beside what a person wrote, in what Airflow's column holds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.models.dagrun import DagRun, DagRunNote

from penstock.intervals import Interval
from penstock.record import Entry, Failure, Run, Runs
from penstock.results import GateResult
from penstock.settings import find_root
from penstock.store import Store
from penstock_airflow import listener

MONTH = Interval(start=datetime(2013, 6, 1, tzinfo=UTC), end=datetime(2013, 7, 1, tzinfo=UTC))
NOW = datetime(2013, 7, 1, tzinfo=UTC)
REGISTERED = Entry(stage="register", state="ran", why="new", summary={"version": "3"}, ended=NOW)
DEPLOYED = Entry(stage="deploy", state="ran", why="new", ended=NOW)
SUCCEEDED = "▸ succeeded: interval 2013-06-01, version 3"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """The records of a store of the test's own."""
    monkeypatch.setenv("PENSTOCK_ROOT", str(find_root()))
    monkeypatch.setenv("PENSTOCK_STORE", f"file://{tmp_path}/store")
    return Runs(Store(f"file://{tmp_path}/store"))


def a_run(runs: Runs, *entries: Entry, note: str = "", airflows: str | None = None) -> DagRun:
    """A run with these entries and its trigger form's note, as Airflow has it, with the note that it has there."""
    run = runs.create(Run(run="one", pipeline="p", interval=MONTH, window=[MONTH], note=note, started=NOW))
    for entry in entries:
        runs.write(run, entry)
    dag_run = DagRun(dag_id="p", run_id="one", run_type="manual")
    dag_run.note = airflows
    return dag_run


def refusal(why: str) -> Entry:
    gate = GateResult(name="holdout", passed=False, observed="o", required="r", why=why)
    return Entry(stage="validate_model", state="refused", why="w", gates=[gate], ended=NOW)


def end(dag_run: DagRun) -> str:
    """What the note says after Airflow told the listener that the run ended."""
    listener.on_dag_run_success(dag_run, "")
    return str(dag_run.note)


def test_a_note_says_the_verdict(runs: Runs) -> None:
    """State, interval and version, and the trigger form's note: where the run has no note in Airflow."""
    dag_run = a_run(runs, REGISTERED, DEPLOYED, note="a\n try")
    assert end(dag_run) == f"{SUCCEEDED}\n▸ a try"


def test_a_failed_run_s_note_says_why(runs: Runs) -> None:
    """Each failure and each gate that refused is a line, however many lines its words had."""
    failure = Failure(kind="data", message="two faults:\n- one\n\n- two", next_step="mend them")
    failed = Entry(stage="features", state="failed", why="w", failure=failure, ended=NOW)
    dag_run = a_run(runs, failed, refusal("auc 0.6"))
    listener.on_dag_run_failed(dag_run, "")
    assert str(dag_run.note).splitlines() == [
        "▸ failed: interval 2013-06-01",
        "▸ features failed: two faults: - one - two. To do: mend them",
        "▸ gate holdout refused: auc 0.6",
    ]


def test_what_a_person_wrote_stays(runs: Runs) -> None:
    """A note typed in Airflow is kept as it is, above the verdict; the form's same words are not said twice."""
    dag_run = a_run(runs, REGISTERED, DEPLOYED, note="first try", airflows="first try\n\n- after the fix")
    assert end(dag_run) == f"first try\n\n- after the fix\n\n{SUCCEEDED}"


def test_said_again_it_is_said_once(runs: Runs) -> None:
    """Airflow may tell an end twice: the note is the same."""
    dag_run = a_run(runs, REGISTERED, DEPLOYED, note="form", airflows="by hand")
    once = end(dag_run)
    assert end(dag_run) == once
    assert once.count("succeeded") == once.count("form") == once.count("by hand") == 1


def test_a_new_verdict_takes_the_old_one_s_place(runs: Runs) -> None:
    """A run that was cleared is judged anew: its note has the newer verdict only, and what was written meanwhile."""
    dag_run = a_run(runs, REGISTERED, refusal("auc 0.6"), airflows="by hand")
    assert "refused" in end(dag_run)
    dag_run.note = f"{dag_run.note}\ncleared: the threshold was wrong"
    run = runs.read("p", "one")
    assert run is not None
    runs.write(run.run, Entry(stage="validate_model", state="ran", why="w", ended=NOW))
    runs.write(run.run, DEPLOYED)
    assert end(dag_run) == f"by hand\n\ncleared: the threshold was wrong\n\n{SUCCEEDED}"


@pytest.mark.parametrize("theirs", [0, 1, 500, 900, 990, *range(994, 1001)])
def test_it_fits_the_column(runs: Runs, theirs: int) -> None:
    """A long verdict is cut to what is left of Airflow's column and says so; a person's words never are, nor doubled."""
    dag_run = a_run(runs, refusal("why " * 400), note="n" * 1000, airflows="x" * theirs)
    once = end(dag_run)
    assert len(once) <= listener.NOTE_LENGTH == DagRunNote.__table__.c.content.type.length
    assert once.startswith("x" * theirs)
    assert once.endswith("…") or theirs > 996
    assert theirs > 900 or len(once) > 990
    assert end(dag_run) == once


@pytest.mark.parametrize("length", range(930, 1000))
def test_wherever_it_is_cut_it_is_known_again(runs: Runs, length: int) -> None:
    """A cut in the middle of a line's mark leaves nothing that would pass for a person's words."""
    dag_run = a_run(runs, refusal("gate"), refusal("why"), note="note", airflows="x" * length)
    once = end(dag_run)
    assert end(dag_run) == once
    assert len(once) <= listener.NOTE_LENGTH


def test_a_run_that_is_none_of_ours_is_left_alone(runs: Runs) -> None:
    """A DAG without a record keeps its note."""
    dag_run = DagRun(dag_id="other", run_id="one", run_type="manual")
    dag_run.note = "mine"
    assert end(dag_run) == "mine"
