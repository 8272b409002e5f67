"""`penstock key`: a pair that fits, one of it for its owner's eyes alone, and nothing overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from penstock.signatures import PUBLIC_KEYS, SIGNING_KEY, sign, verify
from tests.penstock.cli.conftest import Penstock


def test_a_pair_signs_and_is_trusted(
    penstock: Penstock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two files are the values of the two variables; the private key is in no output, and nobody else's to read."""
    file = tmp_path / "signing.key"
    ran = penstock("key", str(file), "--json")
    assert ran.code == 0
    private, public = file.read_text().strip(), (tmp_path / "signing.key.pub").read_text().strip()
    assert ran.answer["public_key"] == public
    assert private not in ran.stdout + ran.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (tmp_path / "function.json").write_text("{}")
    monkeypatch.setenv(SIGNING_KEY, private)
    monkeypatch.setenv(PUBLIC_KEYS, public)
    sign(tmp_path)
    verify(tmp_path)


def test_people_are_told_what_goes_where(penstock: Penstock, tmp_path: Path) -> None:
    """Each file with the variable that it is for, and the public key to copy."""
    ran = penstock("key", str(tmp_path / "signing.key"))
    assert "signing.key: the private key, PENSTOCK_SIGNING_KEY" in ran.stdout
    assert ran.stdout.splitlines()[-1] == (tmp_path / "signing.key.pub").read_text().strip()


def test_a_key_is_never_overwritten(penstock: Penstock, tmp_path: Path) -> None:
    """What an old key signed must stay to be signed again."""
    file = tmp_path / "signing.key"
    file.write_text("the one in use")
    ran = penstock("key", str(file))
    assert ran.code == 1
    assert "never overwritten" in ran.stderr
    assert file.read_text() == "the one in use"
    assert not (tmp_path / "signing.key.pub").exists()
