"""Named connections: where a URL is found, and how one is kept."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from penstock import connections
from penstock.errors import PenstockError, SourceUnavailable
from tests.full_disk import full_disk


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PENSTOCK_CONN_<NAME> beats what is saved; an empty one counts as not set."""
    connections.save("shop", "sqlite:///saved", tmp_path)
    assert connections.resolve("shop", tmp_path) == "sqlite:///saved"
    monkeypatch.setenv("PENSTOCK_CONN_SHOP", "sqlite:///set")
    assert connections.resolve("shop", tmp_path) == "sqlite:///set"
    monkeypatch.setenv("PENSTOCK_CONN_SHOP", "")
    assert connections.resolve("shop", tmp_path) == "sqlite:///saved"


def test_one_that_nobody_knows_is_named(tmp_path: Path) -> None:
    """The error lists those that are known, without their URLs, and says what to set."""
    with pytest.raises(SourceUnavailable, match=r"'shop' is not known here \(known: none\)") as unknown:
        connections.resolve("shop", tmp_path)
    assert "PENSTOCK_CONN_SHOP" in str(unknown.value.next_step)
    connections.save("other", "postgresql://me:s3cret@db/x", tmp_path)
    with pytest.raises(SourceUnavailable, match=r"known: other\)") as unknown:
        connections.resolve("shop", tmp_path)
    assert "s3cret" not in str(unknown.value)


def test_saved_for_its_owner_only(tmp_path: Path) -> None:
    """The folder is made, the others stay, and the file is the owner's alone, even where it was not."""
    var = tmp_path / "new" / "var"
    connections.save("a", "sqlite:///a", var)
    (var / "connections.json").chmod(0o644)
    connections.save("b", "sqlite:///b", var)
    connections.save("a", "sqlite:///changed", var)
    assert json.loads((var / "connections.json").read_text()) == {
        "a": "sqlite:///changed",
        "b": "sqlite:///b",
    }
    assert stat.S_IMODE((var / "connections.json").stat().st_mode) == 0o600
    assert [path.name for path in var.iterdir()] == ["connections.json"]


def test_a_full_disk_keeps_those_of_before(tmp_path: Path) -> None:
    """What cannot be written whole is not written: the old connections are all there."""
    connections.save("a", "sqlite:///a", tmp_path)
    with full_disk(10), pytest.raises(OSError, match="File too large"):
        connections.save("b", "sqlite:///b", tmp_path)
    assert connections.resolve("a", tmp_path) == "sqlite:///a"
    assert [path.name for path in tmp_path.iterdir()] == ["connections.json"]


@pytest.mark.parametrize(
    "content", ['{"a": "postgresql://me:s3cret@db', '["s3cret"]', '{"a": {"url": "s3cret"}}']
)
def test_a_file_that_is_none_of_ours_is_named_and_not_quoted(tmp_path: Path, content: str) -> None:
    """Half a file, or another shape: which file and what to do, without what is in it; it is not overwritten."""
    path = tmp_path / "connections.json"
    path.write_text(content)
    for attempt in (
        lambda: connections.resolve("a", tmp_path),
        lambda: connections.save("b", "sqlite:///b", tmp_path),
    ):
        with pytest.raises(PenstockError, match="not a JSON object") as refused:
            attempt()
        assert str(path) in str(refused.value)
        assert "s3cret" not in str(refused.value)
        assert refused.value.__cause__ is None
    assert path.read_text() == content
