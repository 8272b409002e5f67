"""Jars of an image come from a Maven repository, and are those that the lock pins."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from penstock import jars
from penstock.errors import PenstockError

PATH = "org/example/thing/1.0/thing-1.0.jar"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository that serves a folder."""
    folder = tmp_path / "maven"
    (folder / PATH).parent.mkdir(parents=True)
    (folder / PATH).write_bytes(b"classes")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(jars.REPOSITORY, f"http://127.0.0.1:{server.server_port}")
        yield folder
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of that one jar."""
    path = tmp_path / "jars.txt"
    path.write_text(f"{hashlib.sha256(b'classes').hexdigest()}  {PATH}\n")
    return path


def fetch(lock: Path, tmp_path: Path) -> list[Path]:
    target = tmp_path / "target"
    target.mkdir(exist_ok=True)
    jars.fetch(lock, tmp_path / "cache", target)
    return list(target.iterdir())


def test_a_jar_is_fetched_once(repository: Path, lock: Path, tmp_path: Path) -> None:
    """It has its own name in the target; the second time the repository is not asked."""
    (found,) = fetch(lock, tmp_path)
    assert (found.name, found.read_bytes()) == ("thing-1.0.jar", b"classes")
    found.unlink()
    (repository / PATH).unlink()
    assert fetch(lock, tmp_path)[0].read_bytes() == b"classes"


def test_another_jar_than_the_locks_is_refused(repository: Path, lock: Path, tmp_path: Path) -> None:
    """Neither the target nor the cache keeps it."""
    (repository / PATH).write_bytes(b"other classes")
    with pytest.raises(PenstockError, match="than the lock pins"):
        fetch(lock, tmp_path)
    assert list((tmp_path / "target").iterdir()) == list((tmp_path / "cache").iterdir()) == []


def test_a_repository_without_it_is_named(repository: Path, lock: Path, tmp_path: Path) -> None:
    """The error says which jar, from where, and how to name another repository."""
    (repository / PATH).unlink()
    with pytest.raises(PenstockError, match=f"{PATH} cannot be had from") as refused:
        fetch(lock, tmp_path)
    assert jars.REPOSITORY in str(refused.value.next_step)
