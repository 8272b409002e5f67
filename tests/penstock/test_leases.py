"""Leases: one holder at a time on a store without file locks, and one that died is passed over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from penstock.leases import lease
from penstock.store import Store

SHORT = 1.2


@pytest.fixture
def store() -> Iterator[Store]:
    """A store that is no folder, and empty; object storage itself is tested in tests/services."""
    made = Store("memory://leases")
    yield made
    made.fs.rm(made.root, recursive=True)


def test_one_at_a_time(store: Store) -> None:
    """Eight threads that read, wait and write a number under the lock never lose a count."""
    store.write_json("count.json", 0)

    def count() -> None:
        for _ in range(3):
            with lease(store, "_locks/x"):
                before = store.read_json("count.json")
                time.sleep(0.01)
                store.write_json("count.json", before + 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read_json("count.json") == 24


def test_a_dead_holder_is_passed_over(store: Store) -> None:
    """Nobody beats for it any more: who waits gets the lock after one lease, and the dead one's files are gone."""
    store.create_json("_locks/x/1.json", {"holder": "dead"})
    began = time.monotonic()
    with lease(store, "_locks/x", SHORT):
        assert time.monotonic() - began >= SHORT
    assert store.names("_locks/x") == ["2.done", "2.json"]


def test_a_slow_holder_is_waited_for(store: Store) -> None:
    """Work that takes longer than a lease keeps the lock, as its holder lives."""
    order = []

    def slow() -> None:
        with lease(store, "_locks/x", SHORT):
            held.set()
            time.sleep(2.5 * SHORT)
            order.append("slow")

    held = threading.Event()
    thread = threading.Thread(target=slow)
    thread.start()
    held.wait()
    with lease(store, "_locks/x", SHORT):
        order.append("next")
    thread.join()
    assert order == ["slow", "next"]


def test_a_failure_frees_it(store: Store) -> None:
    """What is done under the lock may raise: the next gets it at once."""
    with pytest.raises(ZeroDivisionError), lease(store, "_locks/x"):
        _ = 1 / 0
    began = time.monotonic()
    with lease(store, "_locks/x"):
        assert time.monotonic() - began < 10
