"""The prediction log on the function host: from a request to Parquet in the store, and nothing of it elsewhere."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until

LOG = {"pipeline": "shifts", "rate": 1, "sensitive": []}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[RunningHost]:
    """A host with a store of its own, which the test starts."""
    running = RunningHost(tmp_path / "state")
    yield running
    running.close()


def restart(host: RunningHost, store: Path, **environment: str) -> None:
    """End it in order, if it runs, and start it again."""
    if host.process is not None:
        host.process.send_signal(signal.SIGTERM)
        host.process.wait(60)
    host.start("--store", f"file://{store}", environment=environment)


def test_predictions_reach_the_store(host: RunningHost, make_function: MakeFunction, tmp_path: Path) -> None:
    """What was answered is spooled, and taken to the store once its segment is complete: by the next host, if need be."""
    store = tmp_path / "store"
    restart(host, store)
    host.deploy(make_function(1, log=LOG))
    assert [host.predict(x).status_code for x in (1.0, 2.0)] == [200, 200]
    restart(host, store)
    until(lambda: list(store.rglob("*.parquet")), "the log is in the store")
    [path] = store.rglob("*.parquet")
    assert path.relative_to(store).parts[:2] == ("shifts", "_predictions")
    table = pq.read_table(path).to_pylist()
    assert [(row["inputs"]["x"], row["score"], row["version"]) for row in table] == [
        (1.0, 2.0, "1"),
        (2.0, 3.0, "1"),
    ]
    until(lambda: not list((host.state / "predictions").glob("*/*")), "the segment is deleted")


def test_the_key_reaches_the_function(host: RunningHost, make_function: MakeFunction, tmp_path: Path) -> None:
    """A sensitive column is hashed with the host's key, and without one it is nowhere."""
    store = tmp_path / "store"
    for key in ("", "secret"):
        restart(host, store, PENSTOCK_LOG_KEY=key)
        host.deploy(make_function(1, log={**LOG, "sensitive": ["x"]}))
        assert host.predict(1.5).status_code == 200
    restart(host, store)
    until(lambda: len(list(store.rglob("*.parquet"))) == 2, "both logs are in the store")
    hashes = [
        row.get("inputs", {}).get("x")
        for path in store.rglob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]
    assert sorted(len(given or "") for given in hashes) == [0, 64]


def test_a_function_that_is_removed_leaves_no_log(
    host: RunningHost, make_function: MakeFunction, tmp_path: Path
) -> None:
    """What it logged goes with it, and what is not asked for is not even spooled."""
    restart(host, tmp_path / "store")
    host.deploy(make_function(1))
    assert host.predict().status_code == 200
    host.deploy(make_function(2, log=LOG))
    assert host.predict().status_code == 200
    folder = host.state / "predictions" / "shift"
    until(lambda: folder.is_dir() and list(folder.iterdir()), "it is spooled")
    assert len(list(folder.iterdir())) == 1
    assert host.client.delete("/functions/shift").status_code == 204
    assert not folder.exists()
