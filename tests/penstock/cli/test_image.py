"""`penstock image`: what it refuses. What it builds runs in tests/cluster and tests/compose."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.settings import Settings
from tests.penstock.cli.conftest import Penstock


def test_a_registry_must_be_given(
    penstock: Penstock, shift: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can guess where images go."""
    monkeypatch.delenv("PENSTOCK_REGISTRY", raising=False)
    ran = penstock("image", "build", "shift")
    assert ran.code == 1
    assert "give --registry, or set PENSTOCK_REGISTRY" in ran.stderr


def test_a_room_must_be_one(penstock: Penstock, shift: Settings) -> None:
    """Who mistypes it is told which there are."""
    ran = penstock("image", "room", "jobs")
    assert ran.code == 1
    assert "expected one of job, airflow, function, function-grpc, machine" in ran.stderr


def test_a_step_that_fails_records_nothing(
    penstock: Penstock, shift: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder's own words are passed on, and the DAG pins what it did."""
    record = shift.dags / "shift" / "image.json"
    record.write_text("the one before")
    (shift.root / "penstock").symlink_to(Path(__file__).parents[3] / "penstock")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "buildah").write_text("#!/bin/sh\necho 'no space left in the builder' >&2; exit 3\n")
    (programs / "buildah").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setattr("penstock.images.Builder._install", lambda self, lock, site: None)
    monkeypatch.setattr("penstock.images.Builder._jars", lambda self, room, target: [])
    ran = penstock("image", "build", "shift", "--registry", "localhost:1/none")
    assert ran.code == 1
    assert "buildah build ended with 3: no space left in the builder" in ran.stderr
    assert record.read_text() == "the one before"
    assert list((shift.var / "tmp").iterdir()) == []
