"""Spark on executor pods: the same model on any number of them, and when one is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pandas as pd
import pytest

from penstock.results import StageResult
from penstock.store import Store
from tests.cluster.stand import Cluster, declared
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE
from tests.servers import until

pytestmark = [pytest.mark.cluster, pytest.mark.spark, pytest.mark.timeout(1800)]

#: To what two models' answers may differ, which were fitted on other numbers of executors.
TOLERANCE = 1e-9


def test_the_same_features(up: Project, first: Any, cluster: Cluster) -> None:
    """Features made on three executors are those that one pod made: what rests on them is reused."""
    with spread(up, 3), made(cluster) as executors:
        answer = up.penstock("run", PIPELINE, "--airflow", "--force", "features")
    assert len(executors) == 3
    assert result(answer, "features").digest == result(first, "features").digest
    assert states(answer)["train"] == "reused"


def test_the_same_model(up: Project, first: Any, cluster: Cluster) -> None:
    """A model trained on three executors is the one that one pod trained; Spark's log of it is kept; no pod is left."""
    with spread(up, 3), made(cluster) as executors:
        answer = up.penstock("run", PIPELINE, "--airflow", "--force", "train")
    assert len(executors) == 3
    assert cluster.pods() == []
    same_model(answer, first)
    application = result(answer, "train").summary["spark_application"]
    assert events(application), application


def test_a_lost_executor_changes_nothing(up: Project, first: Any, cluster: Cluster) -> None:
    """The only executor is killed while the model is fitted: another takes its place, and the model is the same."""
    killed: list[str] = []

    def kill() -> None:
        until(lambda: bool(cluster.running("train", executors=True)), 600)
        killed.append(cluster.running("train", executors=True)[0])
        cluster.core.delete_namespaced_pod(killed[0], cluster.namespace, grace_period_seconds=0)

    with spread(up, 1), made(cluster) as executors, beside(kill):
        answer = up.penstock("run", PIPELINE, "--airflow", "--force", "train")
    assert killed[0] in executors
    assert len(executors) > 1, "another took its place"
    same_model(answer, first)
    assert cluster.pods() == []


@contextmanager
def spread(project: Project, count: int) -> Iterator[None]:
    """The pipeline with that many executors for features and train, however few its rows are."""
    executors = {"executors": {"count": count, "cpu": 0.3, "memory": "1Gi", "above_rows": 0}}
    with declared(project, f"resources={ {'features': executors, 'train': executors}!r}"):
        yield


@contextmanager
def made(cluster: Cluster) -> Iterator[list[str]]:
    """The executors that are made meanwhile, when it has ended."""
    before, found = len(cluster.started), list[str]()
    yield found
    found += [name for name in cluster.started[before:] if "-exec-" in name]


@contextmanager
def beside(act: Callable[[], None]) -> Iterator[None]:
    """Do it meanwhile."""
    thread = threading.Thread(target=act)
    thread.start()
    yield
    thread.join()


def states(answer: Any) -> dict[str, str]:
    """What each stage of a run did."""
    return {each["name"]: each["state"] for each in answer["stages"]}


def result(answer: Any, stage: str) -> StageResult:
    """What a stage of a run left in the store."""
    key = next(each["key"] for each in answer["stages"] if each["name"] == stage)
    found = Store("s3://penstock/main").result(PIPELINE, stage, key)
    assert found is not None
    return found


def same_model(answer: Any, first: Any) -> None:
    """The models of two runs, of which neither reused the other's, give the same answers."""
    assert states(answer)["train"] == states(first)["train"] == "ran"
    one, other = (holdout(result(each, "train")) for each in (answer, first))
    assert list(one.columns) == list(other.columns)
    pd.testing.assert_frame_equal(one, other, rtol=0, atol=TOLERANCE)


def holdout(trained: StageResult) -> pd.DataFrame:
    """The holdout's rows with the model's answers, by their ids."""
    with fsspec.open(f"s3://penstock/main/{trained.path}/holdout.parquet") as file:
        frame = pd.read_parquet(file)
    return frame.sort_values("parcel").reset_index(drop=True)


def events(application: str) -> list[str]:
    """Spark's event log of a name."""
    found: list[str] = fsspec.filesystem("s3").find(f"penstock/main/{PIPELINE}/_spark")
    return [path for path in found if application in path]
