"""The store: one winner a key, whole files or none, faults that are named."""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

import pytest

from penstock.errors import StoreError
from penstock.results import StageResult
from penstock.store import Store


def store(folder: Path) -> Store:
    made = Store(f"file://{folder}")
    made.open_format()
    return made


def result(attempt: str) -> StageResult:
    """An attempt's result, always of the same key."""
    return StageResult(
        pipeline="p", stage="train", subject="", key="k", attempt=attempt, digest="d", state="ran",
        started="2026-01-01T00:00:00", seconds=1.0,
    )  # fmt: skip


def race(uri: str, attempt: str) -> str:
    """Commit an attempt in a process of its own; who won."""
    return Store(uri).commit(result(attempt)).attempt


def test_one_winner_of_many(tmp_path: Path) -> None:
    """Eight processes that commit one key at once all get the same winner's result."""
    store(tmp_path)
    context = multiprocessing.get_context("spawn")
    with context.Pool(8) as pool:
        winners = pool.starmap(race, [(f"file://{tmp_path}", f"a{n}") for n in range(8)])
    assert len(set(winners)) == 1


def test_the_loser_leaves_nothing(tmp_path: Path) -> None:
    """An attempt that comes second is garbage: its folder is removed and the first result holds."""
    made = store(tmp_path)
    assert made.commit(result("first")).attempt == "first"
    made.write_json("p/train/k/second/data.json", {})
    assert made.commit(result("second")).attempt == "first"
    assert not made.exists("p/train/k/second")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """A full disk is a StoreError that names the file; the old content stays and no part of the new."""
    made = store(tmp_path)
    made.write_json("a.json", {"old": True})
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        said = pool.apply(_write_beyond_limit, (str(tmp_path),))
    assert "cannot write a.json" in said
    assert made.read_json("a.json") == {"old": True}
    assert [name for name in made.names("") if name.startswith(".a.json")] == []


def _write_beyond_limit(folder: str) -> str:
    import resource
    import signal

    sys.dont_write_bytecode = True  # see tests/full_disk.py
    # A file larger than the limit fails with EFBIG, as a full disk does with ENOSPC: mid-write.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        Store(f"file://{folder}").write_json("a.json", {"new": "x" * 5000})
    except StoreError as error:
        return str(error)
    return "written"


def test_another_format_is_refused(tmp_path: Path) -> None:
    """A store that a later Penstock made is not read as if it were ours."""
    (tmp_path / "_format.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StoreError, match="has format 99"):
        Store(f"file://{tmp_path}").open_format()


def test_the_lock_is_freed_by_death(tmp_path: Path) -> None:
    """A process that is killed while it holds a lock does not hold it for ever."""
    made = store(tmp_path)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), ready))
    holder.start()
    assert ready.wait(30)
    holder.kill()
    holder.join()
    with made.lock("promotion"):
        pass


def _hold(folder: str, ready: object) -> None:
    import time

    with Store(f"file://{folder}").lock("promotion"):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)
