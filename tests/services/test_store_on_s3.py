"""The store on an S3 server: the same promises as of a folder."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from penstock.errors import StoreError
from penstock.leases import LEASE
from penstock.store import Store
from tests.penstock.test_store import race
from tests.servers import S3

pytestmark = pytest.mark.services


@pytest.fixture
def store(s3: S3) -> Store:
    """A new store in the server's bucket."""
    made = Store(f"s3://penstock/{uuid.uuid4().hex}")
    made.open_format()
    return made


def test_one_winner_of_many(store: Store) -> None:
    """Eight processes that commit one key at once all get the same winner's result; the losers' folders are gone."""
    for attempt in range(8):
        store.write_json(f"p/train/k/a{attempt}/data.json", {})
    context = multiprocessing.get_context("spawn")
    with context.Pool(8) as pool:
        winners = pool.starmap(race, [(store.uri, f"a{attempt}") for attempt in range(8)])
    assert len(set(winners)) == 1
    assert store.names("p/train/k") == ["_result.json", winners[0]]


def test_folders_go_there_and_back(store: Store, tmp_path: Path) -> None:
    """A folder keeps its form, put once or twice; a single file too; what is fetched is fetched once."""
    folder = tmp_path / "package"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(bytes(range(256)) * 1000)
    (folder / "deep" / "er" / "ünïcode name.json").write_text("{}")
    for _ in range(2):
        store.put(folder, "p/register/k/a/package")
    store.put(folder / "model.onnx", "p/register/k/a/one.onnx")
    scratch = tmp_path / "scratch"
    fetched = store.fetch("p/register/k/a/package", scratch)
    assert _content(fetched) == _content(folder)
    assert (
        store.fetch("p/register/k/a/one.onnx", scratch).read_bytes() == (folder / "model.onnx").read_bytes()
    )
    (fetched / "model.onnx").write_text("read in place")
    assert (store.fetch("p/register/k/a/package", scratch) / "model.onnx").read_text() == "read in place"


def _content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_what_is_written_is_there_when_the_block_ends(store: Store, tmp_path: Path) -> None:
    """A block that fails leaves nothing in the store."""
    with store.writing("p/train/k/a/model", tmp_path) as folder:
        folder.mkdir()
        (folder / "part").write_text("1")
        assert not store.exists("p/train/k/a/model")
    assert store.names("p/train/k/a/model") == ["part"]
    with suppress(ZeroDivisionError), store.writing("p/train/k/b/model", tmp_path) as folder:
        folder.mkdir()
        _ = 1 / 0
    assert not store.exists("p/train/k/b")


def test_others_writes_are_seen_at_once(store: Store) -> None:
    """No listing is remembered: what another process wrote or removed is seen."""
    other = Store(store.uri)
    assert not store.exists("a.json")
    assert store.names("") == ["_format.json"]
    other.write_json("a.json", 1)
    assert store.exists("a.json")
    assert store.names("") == ["_format.json", "a.json"]
    other.remove("a.json")
    assert not store.exists("a.json")


_HOLD = """
import sys, time
from penstock.store import Store
with Store(sys.argv[1]).lock("promotion-p"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lock_of_a_dead_process_is_free_again(store: Store) -> None:
    """A process holds the lock and is killed: who waits gets it once the lease has run out, not before."""
    with subprocess.Popen([sys.executable, "-c", _HOLD, store.uri], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
        began = time.monotonic()
        with store.lock("promotion-p"):
            assert time.monotonic() - began >= LEASE
    began = time.monotonic()
    with store.lock("promotion-p"):
        assert time.monotonic() - began < LEASE


def test_a_server_that_is_away_is_named(s3: S3, store: Store) -> None:
    """Nobody answers: the error names the store and says what to do; when it is back all goes on."""
    store.write_json("a.json", {"one": 1})
    s3.stop()
    try:
        with pytest.raises(StoreError, match="s3://penstock/"):
            store.write_json("b.json", {})
        with pytest.raises(StoreError, match="s3://penstock/"):
            store.read_json("a.json")
    finally:
        s3.start()
    _until_back(store)
    assert store.read_json("a.json") == {"one": 1}
    assert not store.exists("b.json")


def _until_back(store: Store) -> None:
    for _ in range(100):
        try:
            store.read_json("a.json")
        except StoreError:
            time.sleep(0.1)
        else:
            return


def test_a_wrong_login_is_named(s3: S3, store: Store) -> None:
    """The server refuses: the error says so, and shows no key."""
    code = (
        "import sys; from penstock.store import Store; from penstock.errors import StoreError\n"
        "try: Store(sys.argv[1]).write_json('a.json', {})\n"
        "except StoreError as error: print(error)\n"
    )
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": "wrong-secret"}
    ran = subprocess.run(
        [sys.executable, "-c", code, store.uri], env=environment, capture_output=True, text=True, check=True
    )
    assert "cannot write a.json in the store s3://penstock/" in ran.stdout
    assert "wrong-secret" not in ran.stdout + ran.stderr
