"""The task `plan`: the data interval that each kind of Airflow's runs gets, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRun
from airflow.sdk.exceptions import AirflowFailException
from airflow.timetables.interval import CronDataIntervalTimetable

from penstock import Pipeline, Search, files
from penstock.record import Runs
from penstock.settings import find_root
from penstock.store import Store
from penstock_airflow.operators import PlanOperator

NOW = datetime.now(UTC)
#: What the trigger form gives where nothing is typed.
EMPTY = {"date": None, "since": None, "trials": None, "force": None, "note": None}

Plan = Callable[..., list[str]]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def planned(first: str, last: str) -> dict[str, Any]:
    """What Airflow says of a run of the schedule or of a backfill."""
    return {
        "logical_date": at(first),
        "data_interval_start": at(first),
        "data_interval_end": at(last),
        "run_after": at(last),
    }


def by_hand(logical_date: datetime) -> dict[str, Any]:
    """What Airflow says of a run triggered now with a logical date: its timetable gives the interval before it."""
    interval = CronDataIntervalTimetable("0 0 1 * *", timezone="UTC").infer_manual_data_interval(
        run_after=logical_date  # type: ignore[arg-type]
    )
    return {
        "logical_date": logical_date,
        "data_interval_start": interval.start,
        "data_interval_end": interval.end,
        "run_after": NOW,
    }


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Executes the task for a run as Airflow describes it, with what was typed into the form; gives its window."""
    monkeypatch.setenv("PENSTOCK_ROOT", str(find_root()))
    monkeypatch.setenv("PENSTOCK_VAR", str(tmp_path))
    monkeypatch.setenv("PENSTOCK_STORE", f"file://{tmp_path}/store")

    def execute(kind: str, dates: dict[str, Any] | None = None, **form: Any) -> list[str]:
        spec = Pipeline(
            name="flights", problem="p", owner="o", task="binary", label="l", time="t", id="i", metric="roc_auc",
            sources=[files("rows", "x", time="t")], schedule="@monthly", start="2013-01-01", end="2014-01-01",
            search=Search(method="grid", depth=[2, 3]),
        )  # fmt: skip
        run = DagRun(
            dag_id="flights", run_id="one", run_type=kind, state="running", start_date=NOW, end_date=None,
            consumed_asset_events=[], partition_key=None,
            **{
                "logical_date": None, "data_interval_start": None, "data_interval_end": None, "run_after": NOW,
                **(dates or {}),
            },
        )  # fmt: skip
        task = PlanOperator(task_id="plan", pipeline=spec)
        return task.execute({"dag_run": run, "params": {**EMPTY, **form}})  # type: ignore[typeddict-item]

    return execute


JUNE = ["2013-04-01", "2013-05-01", "2013-06-01"]
DECEMBER = ["2013-10-01", "2013-11-01", "2013-12-01"]


@pytest.mark.parametrize(
    ("kind", "dates", "form", "window"),
    [
        pytest.param("scheduled", planned("2013-06-01", "2013-07-01"), {}, JUNE, id="schedule"),
        pytest.param("backfill", planned("2013-06-01", "2013-07-01"), {}, JUNE, id="backfill"),
        pytest.param("manual", by_hand(at("2013-06-01")), {}, JUNE, id="logical date typed"),
        pytest.param("manual", by_hand(at("2013-06-17T12:30")), {}, JUNE, id="logical date within the month"),
        pytest.param(
            "manual", by_hand(NOW - timedelta(hours=2)), {}, DECEMBER, id="logical date left as it was"
        ),
        pytest.param("manual", {}, {}, DECEMBER, id="no logical date"),
        pytest.param("manual", {}, {"date": "2013-06-09"}, JUNE, id="date in the form"),
        pytest.param("manual", by_hand(NOW), {"date": "2013-06-30"}, JUNE, id="form and logical date"),
        pytest.param("manual", {}, {"date": "2013-06-09", "since": "2013-05-01"}, JUNE[1:], id="since"),
        pytest.param("asset_triggered", {}, {}, DECEMBER, id="asset without interval"),
    ],
)
def test_each_kind_of_run_gets_its_interval(
    plan: Plan, tmp_path: Path, kind: str, dates: dict[str, Any], form: dict[str, Any], window: list[str]
) -> None:
    """The window's intervals, oldest first, end with the one that a person expects; the run's record says the same."""
    assert plan(kind, dates, **form) == [f"{day}T00:00:00+00:00" for day in window]
    record = Runs(Store(f"file://{tmp_path}/store")).read("flights", "one")
    assert record is not None
    assert str(record.run.interval) == window[-1]


@pytest.mark.parametrize(
    ("dates", "form"),
    [
        (by_hand(at("2012-06-01")), {}),
        (by_hand(at("2014-06-01")), {}),
        ({}, {"date": "2012-06-01"}),
        ({}, {"date": "2014-06-01"}),
    ],
)
def test_a_typed_date_without_data_is_refused(
    plan: Plan, tmp_path: Path, dates: dict[str, Any], form: dict[str, Any]
) -> None:
    """Whichever field it was typed into: the task fails for good, names the allowed dates, and opens no record."""
    with pytest.raises(
        AirflowFailException, match=r"outside .* 2013-01-01 to 2014-01-01.*To do: give a date between"
    ):
        plan("manual", dates, **form)
    assert Runs(Store(f"file://{tmp_path}/store")).read("flights", "one") is None


def test_trials_of_a_grid_are_refused(plan: Plan) -> None:
    """The form's number of trials would change nothing."""
    with pytest.raises(AirflowFailException, match="is a grid"):
        plan("manual", trials=5)
