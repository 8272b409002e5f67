"""Trials: their runs in MLflow, failing ones, and which is best."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.train.problem import Problem
from jobs.train.search import Trial, best

LOGISTIC = 'c.LogisticRegression(labelCol="late", maxIter=5, elasticNetParam=params["mix"])'


def trial(number: int, metric: float | None) -> Trial:
    """A trial with a metric, or a failed one."""
    return Trial(number, {}, metric, 1.0, None if metric is not None else "failed", "run")


def problem(better: str) -> Problem:
    """A problem of which only the direction matters."""
    spec = {
        "task": "regression", "label": "y", "time": "t", "id": "i", "metric": "rmse", "better": better,
        "balance": False, "search": {}, "bundle": "onnx",
    }  # fmt: skip
    return Problem.of(spec, {"columns": {}, "labels": None, "splits": {}})


def test_the_best_follows_the_direction() -> None:
    """The highest or the lowest metric wins, and a failed trial never does."""
    trials = [trial(1, 0.5), trial(2, None), trial(3, 0.7)]
    assert best(trials, problem("maximize")) == trials[2]
    assert best(trials, problem("minimize")) == trials[0]
    assert best([trial(1, None)], problem("minimize")) is None


def test_of_equal_trials_the_first_wins() -> None:
    """A difference that hangs on the order of a sum decides nothing, nor does the order in which trials end."""
    trials = [trial(3, 0.7 + 1e-13), trial(2, 0.7), trial(1, 0.6)]
    assert best(trials, problem("maximize")) == trials[1]


def runs(quarry: Any, key: str) -> tuple[Any, list[Any]]:
    """The parent run of a key in MLflow, and its nested runs by name."""
    from mlflow import MlflowClient

    client = MlflowClient(quarry.project.settings.mlflow_uri)
    experiment = client.get_experiment_by_name("stones").experiment_id
    found = client.search_runs([experiment], f"tags.`penstock.key` = '{key}'")
    nested = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    parents = [run for run in found if run not in nested]
    assert len(parents) == 1
    return parents[0], sorted(nested, key=lambda run: str(run.info.run_name))


@pytest.mark.spark
def test_a_failing_trial_is_named_and_the_others_go_on(quarry: Any, capsys: Any) -> None:
    """A parameter that Spark refuses fails its own trial, in the log, in trials.json and in MLflow; the rest decides."""
    quarry.model(LOGISTIC)
    item = quarry.item(quarry.features(), search={"mix": [0.0, 2.0]})
    outcome, result = quarry.train(item)
    assert outcome.state == "done", outcome.message
    good, bad = quarry.json(result, "trials.json")
    assert good["error"] is None
    assert bad["metric"] is None
    assert "elasticNetParam given invalid value 2.0" in bad["error"]
    said = capsys.readouterr().out
    assert "trial 2 (mix=2) failed: estimator(" in said
    assert "[progress] trials 2/2" in said
    assert "best so far" in said
    parent, nested = runs(quarry, item.key)
    assert [run.info.status for run in nested] == ["FINISHED", "FAILED"]
    assert {run.data.tags["mlflow.parentRunId"] for run in nested} == {parent.info.run_id}
    assert nested[0].data.params == {"mix": "0.0"}
    assert nested[0].data.metrics["validation_log_loss"] == good["metric"]
    assert "elasticNetParam" in nested[1].data.tags["penstock.error"]
    assert parent.info.status == "FINISHED"
    assert parent.info.run_id == result.summary["mlflow_run_id"]
    assert parent.data.metrics == pytest.approx(result.summary["metrics"])
    assert parent.data.tags["penstock.attempt"] == result.attempt
    assert parent.data.tags["penstock.interval"] == "2024-01-01 to 2024-01-31"


@pytest.mark.spark
def test_all_trials_failing_is_the_users_error(quarry: Any) -> None:
    """Where no trial is left the first one's reason is told, the run has failed, and nothing is in the store."""
    quarry.model(LOGISTIC)
    item = quarry.item(quarry.features(), search={"mix": [2.0, 3.0]})
    outcome, result = quarry.train(item)
    assert (outcome.state, outcome.kind) == ("failed", "user-code")
    assert "every one of the 2 trials failed; trial 1 (mix=2)" in str(
        outcome.message
    ) or "elasticNetParam" in str(outcome.message)
    assert result is None
    assert quarry.store.names(f"stones/train/{item.key}") == []
    parent, _ = runs(quarry, item.key)
    assert parent.info.status == "FAILED"


@pytest.mark.spark
def test_runs_that_a_killed_attempt_left_are_ended(quarry: Any) -> None:
    """A run of the same key that still says RUNNING is marked KILLED by the next attempt; others are left alone."""
    from mlflow import MlflowClient

    from jobs.common import tracking

    quarry.model(LOGISTIC)
    item = quarry.item(quarry.features(), search={"mix": [0.5]})
    client, experiment = tracking.connect(quarry.project.settings, "stones", quarry.project.root)
    tags = {"penstock.stage": "train", "penstock.key": item.key}
    dead = client.create_run(experiment, tags=tags).info.run_id
    alive = client.create_run(experiment, tags={**tags, "penstock.key": "another"}).info.run_id
    outcome, _ = quarry.train(item)
    assert outcome.state == "done", outcome.message
    client = MlflowClient(quarry.project.settings.mlflow_uri)
    assert client.get_run(dead).info.status == "KILLED"
    assert client.get_run(alive).info.status == "RUNNING"
