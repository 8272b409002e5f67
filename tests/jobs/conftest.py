"""What the tests of the jobs share: one Spark session for all of them, and a project to run stages in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.common.spark import session
from penstock.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.jobs.projects import Project


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A small local Spark: two cores, 1 GB, two partitions a shuffle; its files go with the test's."""
    made = session("tests", cores=2, memory="1g", scratch=tmp_path_factory.mktemp("spark"), rows=1000)
    made.conf.set("spark.sql.shuffle.partitions", "2")
    yield made
    made.stop()


@pytest.fixture(scope="session")
def trained_store(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with small models as training leaves them: copy it, then register and judge them.

    Pipeline `flights` (binary) has the models `good`, `weak` (fewer columns) and `margin` (without probabilities);
    `delay` (regression) and `kinds` (multiclass) one each, called `good`.
    """
    from tests.jobs.small_models import lay

    root = tmp_path_factory.mktemp("trained")
    store = Store(f"file://{root}/store")
    store.open_format()
    lay(spark, store, pipeline="flights", name="good")
    lay(spark, store, pipeline="flights", name="weak", columns=["distance", "seats"])
    lay(spark, store, pipeline="flights", name="margin", probable=False)
    lay(spark, store, pipeline="delay", name="good", task="regression")
    lay(spark, store, pipeline="kinds", name="good", task="multiclass")
    return root / "store"


@pytest.fixture(scope="session")
def mlflow_uri(make_mlflow: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow database for the projects of all tests."""
    return make_mlflow(tmp_path_factory.mktemp("projects") / "mlflow.db")


@pytest.fixture
def project(tmp_path: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty project; use with `spark` to run Spark stages in the tests' own session."""
    from tests.jobs.projects import Project

    return Project(tmp_path / "project", mlflow_uri, monkeypatch)
