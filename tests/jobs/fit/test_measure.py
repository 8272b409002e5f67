"""Measuring a package by its real runtime: what is measured, and that the gate says the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.fit import measure
from jobs.validate_model.gates.fit import Measured, Refused
from jobs.validate_model.judge import measured
from penstock.signatures import PUBLIC_KEYS
from penstock_function.package import PackageError
from tests.jobs.small_packages import linear, package
from tests.penstock.conftest import make_function

__all__ = ["make_function"]

STEP = """
TAKES = {"miles": "double"}
GIVES = {"x": "double"}
EXAMPLES = [({"miles": 1.0}, {"x": 1.6})]

def run(record):
    raise SystemExit("a user's code")
"""


def test_the_gate_says_what_fit_says(make_function: Callable[..., Path]) -> None:
    """Size and payload are the same to the byte; of the same process the memory is, within what a process varies."""
    folder = make_function(1)
    began: list[str] = []
    found, gate = measure.figures(folder, began.append), measured(folder)
    assert isinstance(gate, Measured)
    assert len(began) == measure.STEPS
    assert gate.size_mb * 1e6 == pytest.approx(found.size_bytes)
    assert found.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert gate.payload_kb * 1e3 == pytest.approx(found.payload_bytes)
    assert found.payload_bytes == len(b'{"prediction": 2.0}')
    assert gate.memory_mb * 1e6 == pytest.approx(found.memory_bytes, rel=0.1)
    assert found.private_bytes < found.memory_bytes
    assert gate.latency_ms > 0


def test_of_a_function_with_steps_the_model_alone_is_measured(
    make_function: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No code of a step is run, and trusted keys do not stand in the way of what nobody signed; the size is the whole package's."""
    monkeypatch.setenv(PUBLIC_KEYS, "7NJw4qPYfXhAVNtLB6k3U8tZdxkbX7q8B9sUkVb1qXs=")
    folder = make_function(
        1,
        steps={"steps/first/step.py": STEP, "steps/first/requirements.txt": "none==1"},
        order=["first", "score"],
    )
    found = measure.warm(folder)
    assert found.size_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert (folder / "steps/first/step.py").read_text() == STEP


def test_only_answered_samples_are_requests(tmp_path: Path) -> None:
    """A record that Spark refused is none; where all are, there is nothing to measure by."""
    records: list[dict[str, Any]] = [{"x": 1.0, "origin": "JFK"}, {"x": 1.0, "origin": "nowhere"}]
    answers: list[dict[str, Any]] = [{"prediction": 3.0}, {"invalid": "origin"}]
    model = linear({"x": 2.0}, origin={"JFK": 1.0})
    kinds = {"origin": "string", "x": "double"}
    whole = package(tmp_path / "some", model, kinds, (records, answers))
    assert measure.warm(whole).payload_bytes == len(json.dumps(records[1]))
    refused = package(tmp_path / "none", model, kinds, (records[1:], answers[1:]))
    with pytest.raises(PackageError, match="refuses each of its samples"):
        measure.warm(refused)


def test_a_runtime_that_will_not_have_it_says_why(make_function: Callable[..., Path]) -> None:
    """The reason that the process gave as it ended; the gate refuses by it, and the run goes on to say so."""
    wrong = make_function(1, sample=99.0)
    with pytest.raises(PackageError, match=r"sample 0.*prediction"):
        measure.warm(wrong)
    gate = measured(wrong)
    assert isinstance(gate, Refused)
    assert gate.reason.startswith("sample 0")
