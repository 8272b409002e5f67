"""A real host for the tests of a module, with nothing on it for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.penstock.host.guest import AT, Guest, serving
from tests.penstock.host.harness import RunningHost


@pytest.fixture(scope="module")
def _host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    running = RunningHost(tmp_path_factory.mktemp("host") / "state")
    yield running
    running.close()


@pytest.fixture
def host(_host: RunningHost) -> RunningHost:
    """A running host without functions. A test may kill it."""
    _host.clear()
    return _host


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the host that most tests share."""
    return tmp_path_factory.mktemp("whisk") / "state"


@pytest.fixture(scope="module")
def whisk(state: Path) -> Iterator[TestClient]:
    with serving(state) as client:
        yield client


@pytest.fixture
def guest(whisk: TestClient) -> Iterator[Guest]:
    """A namespace with nothing in it but a package."""
    client = Guest(whisk)
    assert client.put(f"{AT}/packages/box", json={}).status_code == 200
    yield client
    assert whisk.delete("/namespaces/guest").status_code == 204
