"""One stand for all tests on a cluster: what they run on is made once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.functions import Place, places, settings
from tests.cluster.stand import Cluster, Stand, stand
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE
from tests.penstock.conftest import make_function  # noqa: F401 (a fixture)
from tests.servers import S3

NO_CLUSTER = "no cluster: set KUBECONFIG to that of kind, minikube or a real one"


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """The stand; it goes at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail(NO_CLUSTER)
    with stand(tmp_path_factory.mktemp) as made:
        yield made


@pytest.fixture(scope="session")
def cluster(standing: Stand) -> Cluster:
    """The tests' own namespace."""
    return standing.cluster


@pytest.fixture(scope="session")
def s3(standing: Stand) -> S3:
    """The S3 server that pods reach."""
    return standing.s3


@pytest.fixture(scope="session")
def up(standing: Stand) -> Project:
    """The project, whose Airflow runs."""
    return standing.project


@pytest.fixture(scope="session")
def first(up: Project) -> Any:
    """The answer of a first run."""
    return up.penstock("run", PIPELINE, "--airflow")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where functions run."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail(NO_CLUSTER)
    with places(tmp_path_factory.mktemp("deployer")) as made:
        yield made


@pytest.fixture
def environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What says so."""
    for name, value in settings(place).items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What says how a first run and the one after it go comes first: the others force stages, which moves the champion."""
    items.sort(key=lambda item: "test_main_job" not in item.nodeid)
