"""Gate 6: the limits of the target."""

from __future__ import annotations

import pytest

from jobs.validate_model.gates.fit import Measured, gate
from penstock.spec.gates import FitGate

SMALL = Measured(size_mb=1, memory_mb=60, latency_ms=0.1, payload_kb=0.5)


def test_within_every_limit_it_passes() -> None:
    """All four are shown, each with its unit."""
    result = gate(FitGate(), SMALL)
    assert result.passed
    assert result.observed == "size 1 MB, memory 60 MB, p99 of one record 0.1 ms, payload 0.5 kB"


@pytest.mark.parametrize("limit", ["size_mb", "memory_mb", "latency_ms", "payload_kb"])
def test_each_limit_refuses_and_says_what_helps(limit: str) -> None:
    """One figure over its limit refuses, is the only one named, and comes with what to do."""
    result = gate(FitGate(**{limit: 0.01}), SMALL)
    assert not result.passed
    assert result.why.endswith("is over 0.01")
    assert "gates={'fit': ...}" in result.next_step


def test_off_it_passes_and_says_so() -> None:
    """A gate that the spec switched off is there, passed, and marked."""
    result = gate(None, Measured(1e9, 1e9, 1e9, 1e9))
    assert (result.passed, result.off) == (True, True)
