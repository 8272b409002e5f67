"""Buttons on a task: what a step left behind can be reached, and Airflow knows each button before the task runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from penstock import Pipeline, files
from penstock.record import Entry, ItemEntry
from penstock.results import State
from penstock_airflow.dag import build
from penstock_airflow.links import links_of
from penstock_airflow.operators import StageOperator

SPEC = Pipeline(
    name="flights", problem="p", owner="o", task="binary", label="l", time="t", id="i", metric="roc_auc",
    sources=[files("flights", "x", time="t"), files("weather_hourly", "x", time="t"), files("planes", "x")],
    schedule="@monthly", start="2013-01-01",
)  # fmt: skip


def item(subject: str, key: str, stage: str = "validate", state: State = "ran") -> ItemEntry:
    return ItemEntry(subject=subject, key=key, path=f"flights/{stage}/{key}/a", state=state)


def entry(stage: str, *items: ItemEntry, state: State = "ran", **summary: Any) -> Entry:
    return Entry(
        stage=stage, state=state, why="w", items=list(items), summary=summary, ended=datetime.now(UTC)
    )


REFUSED = entry(
    "validate",
    item("flights@2013-06-01", "k1"), item("weather_hourly@2013-06-01", "k2", state="refused"),
    state="refused",
)  # fmt: skip


def test_each_source_has_its_data_docs() -> None:
    """Whichever source was refused, its page is a button of its own, and so are the others'."""
    assert links_of(REFUSED) == {
        "Data Docs: flights": "/penstock/artifacts/flights/validate/k1/a/docs/index.html",
        "Data Docs: weather_hourly": "/penstock/artifacts/flights/validate/k2/a/docs/index.html",
    }


def test_the_other_stages_buttons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report, MLflow run (where its UI is known) and function, from what the stage said of itself."""
    monkeypatch.delenv("PENSTOCK_MLFLOW_UI", raising=False)
    trained = entry("train", mlflow_run_id="r", mlflow_experiment_id="1")
    assert links_of(trained) == {}
    monkeypatch.setenv("PENSTOCK_MLFLOW_UI", "http://mlflow")
    assert links_of(trained) == {"MLflow run": "http://mlflow/#/experiments/1/runs/r"}
    monkeypatch.setenv("AIRFLOW__PENSTOCK__HISTORY_SERVER", "http://history")
    assert links_of(entry("train", spark_application="train-k-1")) == {
        "Spark history": "http://history/history/train-k-1"
    }
    judged = entry("validate_model", item("", "k", "validate_model"))
    assert links_of(judged) == {"Report": "/penstock/artifacts/flights/validate_model/k/a/report.html"}
    assert links_of(entry("deploy", url="http://host/functions/f")) == {
        "Function": "http://host/functions/f/docs"
    }
    assert links_of(entry("validate", state="failed")) == {}


def test_airflow_s_server_knows_the_buttons() -> None:
    """What the API server reads of a serialized DAG names a button a source, each with a key of its own for its URL."""
    dag = DagSerialization.from_dict(DagSerialization.to_dict(build(SPEC)))
    validate = dag.get_task("validate")
    assert validate.extra_links == ["Data Docs: flights", "Data Docs: planes", "Data Docs: weather_hourly"]
    assert set(links_of(REFUSED)) <= set(validate.extra_links)
    for stage in ("train", "validate_model", "deploy"):
        assert dag.get_task(stage).extra_links == ["Function", "MLflow run", "Report", "Spark history"]
    for task in dag.task_dict.values():
        keys = [link.xcom_key for link in task.operator_extra_link_dict.values()]
        assert len(set(keys)) == len(keys)
        assert all(key.replace("_", "").isalnum() for key in keys)


def test_a_task_hands_out_what_its_step_left() -> None:
    """When a task has ended, Airflow asks each button for its URL: those of the step, and nothing for the others."""
    task = build(SPEC).get_task("validate")
    assert isinstance(task, StageOperator)
    task.links = links_of(REFUSED)
    urls = {link.name: link.get_link(task, ti_key=None) for link in task.operator_extra_links}  # type: ignore[arg-type]
    assert urls == {**links_of(REFUSED), "Data Docs: planes": ""}
