"""A real host for the tests of a module, with nothing on it for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
