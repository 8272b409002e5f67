"""Spark on executor pods: the same model on any number of them, and when one is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pandas as pd
import pytest

from penstock.results import StageResult
from tests.cluster.stand import Cluster, build_image, result, spec_of, spread
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE, change
from tests.servers import until

pytestmark = [pytest.mark.faults, pytest.mark.spark, pytest.mark.timeout(1800)]

#: To what two models' answers may differ, which were fitted on other numbers of executors.
TOLERANCE = 1e-9
#: Work for each of three executors, and then none for a while.
_IDLE = """    import time

    spark.sparkContext.parallelize(range(3), 3).foreach(lambda number: time.sleep(5))
    time.sleep(100)
"""


def test_the_same_features(up: Project, first: Any, cluster: Cluster) -> None:
    """Features made on three executors are those that one pod made: what rests on them is reused.

    They are written where they stay, by S3A's magic committer: nothing is renamed.
    """
    with spread(up, 3), made(cluster) as executors:
        answer = up.penstock("run", PIPELINE, "--airflow", "--force", "features")
    assert len(executors) == 3
    committed = fsspec.filesystem("s3").glob(f"penstock/main/{result(answer, 'features').path}/*/_SUCCESS")
    assert {json.loads(fsspec.filesystem("s3").cat(path))["committer"] for path in committed} == {"magic"}
    assert result(answer, "features").digest == result(first, "features").digest
    assert states(answer)["train"] == "reused"


@pytest.mark.cluster
def test_the_same_model(up: Project, first: Any, cluster: Cluster) -> None:
    """A model trained on three executors, one of which is told to go, is the one that one pod trained.

    Who is told to go hands over what it has before it does. Spark's log of the work is kept; no pod is left.
    """
    said: list[str] = []
    with spread(up, 3), made(cluster) as executors, beside(lambda: said.append(remove_one(cluster, 90))):
        answer = up.penstock("run", PIPELINE, "--airflow", "--force", "train")
    assert len(executors) >= 3
    assert "Finished decommissioning" in said[0], said[0][-2000:]
    assert cluster.pods() == []
    same_model(answer, first)
    application = result(answer, "train").summary["spark_application"]
    assert any(
        application in path for path in fsspec.filesystem("s3").find(f"penstock/main/{PIPELINE}/_spark")
    )


def test_a_lost_executor_changes_nothing(up: Project, first: Any, cluster: Cluster) -> None:
    """The only executor is killed while the model is fitted: another takes its place, and the model is the same."""
    with spread(up, 1), made(cluster) as executors, beside(lambda: remove_one(cluster, 0)):
        answer = up.penstock("run", PIPELINE, "--airflow", "--force", "train")
    assert len(executors) > 1, "another took its place"
    same_model(answer, first)
    assert cluster.pods() == []


def test_who_has_nothing_to_do_is_given_back(up: Project, first: Any, cluster: Cluster) -> None:
    """Executors that had no work for a minute go, down to one, while their driver lives on."""
    model = spec_of(up).with_name("model.py")
    text = model.read_text()
    change(model, "(spark, sources):\n", f"(spark, sources):\n{_IDLE}")
    build_image(up, PIPELINE)
    left: list[int] = []

    def count() -> None:
        until(lambda: len(cluster.running("features", executors=True)) == 3, 600)
        until(lambda: len(cluster.running("features", executors=True)) < 3, 150)
        until(lambda: len(cluster.running("features", executors=True)) == 1, 30)
        left.append(len(cluster.running("features")))

    try:
        with spread(up, 3), beside(count):
            up.penstock("run", PIPELINE, "--airflow", "--force", "features")
    finally:
        model.write_text(text)
        build_image(up, PIPELINE)
    assert left == [1], "the driver was there still"


def remove_one(cluster: Cluster, grace: int) -> str:
    """Delete an executor of train's that has begun to work, which has so many seconds to go; what it logged."""
    until(lambda: bool(cluster.running("train", executors=True)), 600)
    (name, *_) = cluster.running("train", executors=True)
    core, pod = cluster.core, (name, cluster.namespace)
    until(lambda: "Got assigned task" in core.read_namespaced_pod_log(*pod), 300)
    core.delete_namespaced_pod(*pod, grace_period_seconds=grace)
    return str(core.read_namespaced_pod_log(*pod, follow=True)) if grace else ""


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
