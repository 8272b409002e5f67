"""A lock on a store that has no file locks: leases with growing numbers, each of which only one writer can create.

`{folder}/{number}.json` is created exclusively (`If-None-Match: *` on object storage); who made the highest number
holds the lock, until `{number}.done` is there or the holder's heartbeat `{number}.beat` stops changing. Those who
wait judge the heartbeat by their own monotonic clock, so clocks are never compared.

A holder that was stopped for longer than a lease and then goes on would not know that it lost the lock: what is
done under it must be safe to repeat, as promotions are.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from penstock.errors import StoreError

if TYPE_CHECKING:
    from penstock.store import Store

#: A holder whose heartbeat does not change for so long is dead; it beats six times as often. Seconds.
LEASE = 30.0
_POLL = 0.5


@contextmanager
def lease(store: Store, folder: str, seconds: float = LEASE) -> Iterator[None]:
    """Hold the lock of a folder of the store; waits for its holder. Raises StoreError where the store fails."""
    number = _acquire(store, folder, seconds)
    ended = threading.Event()
    beating = threading.Thread(
        target=_beat, args=(store, f"{folder}/{number}.beat", ended, seconds), daemon=True
    )
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        store.write_json(f"{folder}/{number}.done", {})


def _acquire(store: Store, folder: str, seconds: float) -> int:
    seen: tuple[int, object] | None = None
    since = time.monotonic()
    while True:
        highest, done = _highest(store, folder)
        now = (highest, store.read_json(f"{folder}/{highest}.beat"))
        if now != seen:
            seen, since = now, time.monotonic()
        free = highest == 0 or done or time.monotonic() - since >= seconds
        mine = highest + 1
        if free and store.create_json(f"{folder}/{mine}.json", {"holder": uuid.uuid4().hex}):
            # One that is slow may create a number that was held and removed since: only the highest counts.
            if _highest(store, folder)[0] == mine:
                _forget(store, folder, mine)
                return mine
            store.remove(f"{folder}/{mine}.json")
        elif not free:
            time.sleep(_POLL)


def _beat(store: Store, path: str, ended: threading.Event, seconds: float) -> None:
    while not ended.wait(seconds / 6):
        with suppress(StoreError):  # the store is away for a moment: the next beat may be in time
            store.write_json(path, {"beat": uuid.uuid4().hex})


def _highest(store: Store, folder: str) -> tuple[int, bool]:
    """The highest number there, 0 where there is none, and whether its holder is done."""
    names = store.names(folder)
    numbers = [int(name.removesuffix(".json")) for name in names if name.endswith(".json")]
    highest = max(numbers, default=0)
    return highest, f"{highest}.done" in names


def _forget(store: Store, folder: str, below: int) -> None:
    for name in store.names(folder):
        if int(name.partition(".")[0]) < below:
            store.remove(f"{folder}/{name}")
