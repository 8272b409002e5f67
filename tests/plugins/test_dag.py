"""Spec to DAG: the tasks, the trigger form, the page; and that parsing stays light."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineReference
from airflow.sdk.execution_time.callback_supervisor import execute_callback

from penstock import Pipeline, files, hours
from penstock_airflow import to_dag
from penstock_airflow.deadline import missed

ROOT = Path(__file__).parents[2]


def pipeline(**changes: Any) -> Pipeline:
    fields: dict[str, Any] = {
        "name": "flights", "problem": "Will it be late?\nMore words.", "owner": "flight-ops", "task": "binary",
        "label": "late", "time": "t", "id": "i", "sources": [files("flights", "x", time="t")],
        "schedule": "@monthly", "start": "2013-01-01", "end": "2014-01-01", "metric": "roc_auc",
        "gates": {"holdout": {"roc_auc": ">= 0.65"}, "fit": False},
    }  # fmt: skip
    return Pipeline(**{**fields, **changes})


def test_the_chain() -> None:
    """Plan, then collect and validate for each interval, then the chain to deploy, in its order."""
    dag = to_dag(pipeline())
    assert dag is not None
    order = ["plan", "collect", "validate", "features", "train", "register", "validate_model", "deploy"]
    assert sorted(dag.task_ids) == sorted(order)
    for before, after in pairwise(order):
        assert before in dag.get_task(after).upstream_task_ids, f"{after} does not wait for {before}"


def test_its_end_is_the_end_of_the_data() -> None:
    """The last scheduled interval is December: Airflow's end is its start, not the first day without data."""
    dag = to_dag(pipeline())
    assert dag is not None
    assert dag.end_date == datetime(2013, 12, 1, tzinfo=UTC)
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_the_page_says_what_to_do() -> None:
    """The DAG's page has problem, owner, schedule, gates (an off one says so), and what to do on failure."""
    dag = to_dag(pipeline())
    assert dag is not None
    assert dag.doc_md is not None
    for expected in ("Will it be late?", "flight-ops", "@monthly", "roc_auc >= 0.65", "| fit | **off** |", "penstock explain", "penstock rollback flights"):  # fmt: skip
        assert expected in dag.doc_md


def test_the_form_is_typed() -> None:
    """Each field of the trigger form has a type, a title and help; nonsense is refused by it."""
    dag = to_dag(pipeline())
    assert dag is not None
    assert set(dag.params) == {"date", "since", "trials", "force", "note"}
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema["title"]
        assert param.description
    for name, wrong in {"trials": 0, "force": "everything", "date": 3}.items():
        with pytest.raises(Exception, match=r"(?i)valid|enum|minimum|type"):
            dag.params.get_param(name).resolve(wrong)


def test_a_deadline_where_the_spec_sets_one() -> None:
    """A deadline becomes one alert so long after a run was queued; without one there is none."""
    with_one, without = to_dag(pipeline(deadline=hours(6))), to_dag(pipeline())
    assert with_one is not None
    assert without is not None
    (alert,) = with_one.deadline
    assert alert.reference == DeadlineReference.DAGRUN_QUEUED_AT
    assert alert.interval == timedelta(hours=6)
    assert alert.callback == SyncCallback(missed, {"pipeline": "flights", "owner": "flight-ops"})
    assert not without.deadline


def test_a_missed_deadline_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Called as Airflow calls it, from what the serialized DAG says of it: a warning that names pipeline and owner."""
    dag = to_dag(pipeline(deadline=hours(6)))
    assert dag is not None
    (alert,) = dag.deadline
    callback = json.loads(json.dumps(alert.callback.serialize()))
    said, fault = execute_callback(
        callback["path"],
        {**callback["kwargs"], "context": {"dag_run": {"run_id": "one"}}},
        dag_rel_path=Path("flights/pipeline.py"), bundle_path=None, log=structlog.get_logger(),
    )  # fmt: skip
    assert (said, fault) == (True, None)
    (warned,) = [record for record in caplog.records if record.name == "penstock_airflow.deadline"]
    assert (warned.levelname, warned.getMessage()) == (
        "WARNING",
        "pipeline flights missed its deadline; owner: flight-ops",
    )


def test_a_hundred_pipelines_parse_where_only_airflow_is(tmp_path: Path) -> None:
    """Airflow loads and serializes the examples and 98 like them where only its room's lock is installed: no import of
    another room is needed, and none of the heavy libraries is imported, whether it is there or not."""
    shutil.copytree(ROOT / "dags", tmp_path / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    example = (ROOT / "dags/flight_delays/pipeline.py").read_text()
    for number in range(98):
        folder = tmp_path / "dags" / f"p{number}"
        folder.mkdir()
        (folder / "pipeline.py").write_text(example.replace('name="flight_delays"', f'name="p{number}"'))
    program, lock = Path(__file__).with_name("only_airflow.py"), ROOT / "images/airflow/requirements.txt"
    ran = subprocess.run(
        [sys.executable, "-P", str(program), str(lock), str(tmp_path / "dags")],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    parsed = json.loads(ran.stdout.strip().splitlines()[-1])
    assert parsed["errors"] == {}
    assert parsed["ids"] == sorted(
        ["flight_arrival", "flight_delays", *(f"p{number}" for number in range(98))]
    )
    heavy = {
        "pyspark",
        "mlflow",
        "pandas",
        "great_expectations",
        "numpy",
        "pyarrow",
        "jobs",
        "penstock_function",
    }
    assert heavy - {"mlflow"} <= set(parsed["blocked"])  # the room has MLflow's client, for the tasks
    assert heavy.isdisjoint(parsed["imported"])
