"""Files that are never half-written."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from penstock.durable import has_room, sync_tree, write_atomic
from tests.full_disk import full_disk


def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """Content and permissions are the new ones, and nothing else is left beside the file."""
    path = tmp_path / "pointer.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new", mode=0o640)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_keeps_the_old(tmp_path: Path) -> None:
    """A write that fails half-way raises, and leaves the old content and no temporary file."""
    path = tmp_path / "pointer.json"
    write_atomic(path, b"old")
    with full_disk(10), pytest.raises(OSError, match="File too large"):
        write_atomic(path, b"x" * 100)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_tree_is_synced_without_being_changed(tmp_path: Path) -> None:
    """Every file below is opened for it, also in folders of folders."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"content")
    sync_tree(tmp_path)
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"content"


def test_room_is_a_megabyte(tmp_path: Path) -> None:
    """Whether there is room is tried, and leaves nothing; where a folder may not be written, room is not what lacks."""
    assert has_room(tmp_path)
    assert has_room(tmp_path / "missing")
    with full_disk(2**20 - 1):
        assert not has_room(tmp_path)
    assert list(tmp_path.iterdir()) == []
