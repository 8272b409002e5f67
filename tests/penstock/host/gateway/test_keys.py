"""Keys are shown once and kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
import stat
from pathlib import Path

import pytest

from penstock.host.errors import HostError
from penstock.host.gateway.keys import Keys
from penstock.host.gateway.rates import Rate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway" / "keys.json"


def test_a_key_opens_for_its_owner(path: Path) -> None:
    """Its name and limit come back, by the next host as well; what is nearly it opens nothing."""
    key = Keys(path).create("mobile", Rate(100, 60))
    for keys in (Keys(path), Keys(path)):
        owner = keys.owner(key)
        assert owner is not None
        assert (owner.name, owner.limit) == ("mobile", Rate(100, 60))
        secret = key.partition(".")[2]
        for wrong in (
            "",
            ".",
            "mobile",
            "mobile.",
            f"web.{secret}",
            secret,
            f"{key}x",
            key[:-1],
            f" {key}",
            "nobody.nobody",
        ):
            assert keys.owner(wrong) is None


def test_only_a_hash_is_kept(path: Path) -> None:
    """Nothing on disk is the secret, 32 random bytes, and the file is its owner's alone."""
    keys = Keys(path)
    secrets = [keys.create(name).partition(".")[2] for name in ("one", "two")]
    assert len(set(secrets)) == 2
    for secret in secrets:
        assert len(secret) == 43
        assert secret not in path.read_text()
        assert hashlib.sha256(secret.encode()).hexdigest() in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_comparison_takes_as_long_for_whoever_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known, unknown or wrong: two digests of one length are compared in constant time, once."""
    keys = Keys(path)
    key = keys.create("mobile")
    compared: list[tuple[str, str]] = []

    def comparing(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", comparing)
    for given in (key, f"{key}x", "web.x", ""):
        keys.owner(given)
    assert [(len(one), len(other)) for one, other in compared] == [(64, 64)] * 4


def test_a_name_is_one_keys(path: Path) -> None:
    """Another key of the same name is refused, and the first one stays."""
    keys = Keys(path)
    key = keys.create("mobile")
    with pytest.raises(HostError, match="there is a key mobile already") as caught:
        keys.create("mobile")
    assert caught.value.status == 409
    assert keys.owner(key) is not None


def test_a_revoked_key_opens_nothing(path: Path) -> None:
    """At once and from then on; others still do, and there is nothing to revoke twice."""
    keys = Keys(path)
    gone, stays = keys.create("gone"), keys.create("stays")
    keys.revoke("gone")
    assert keys.owner(gone) is None
    assert Keys(path).owner(gone) is None
    assert [key.name for key in keys.all()] == ["stays"]
    assert keys.owner(stays) is not None
    with pytest.raises(HostError, match="no key gone") as caught:
        keys.revoke("gone")
    assert caught.value.status == 404


def test_no_room_for_a_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be kept there is none, and a key that cannot be taken away is still there."""
    keys = Keys(path)
    key = keys.create("mobile")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("penstock.host.gateway.keys.write_atomic", full)
    with pytest.raises(OSError, match="No space"):
        keys.create("web")
    with pytest.raises(OSError, match="No space"):
        keys.revoke("mobile")
    assert [each.name for each in keys.all()] == ["mobile"]
    assert keys.owner(key) is not None


@pytest.mark.parametrize("content", ["", "[]", '{"keys": [{"name": "mobile"}]}', '{"keys": [], "more": 1}'])
def test_keys_damaged_by_hand(path: Path, content: str) -> None:
    """The file is named; nobody is let in by half of it."""
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(HostError, match=r"keys\.json does not hold the keys"):
        Keys(path)
