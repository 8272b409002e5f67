"""Gate 6: the limits of the target."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.validate_model.gates.fit import Measured, Refused, gate
from penstock.spec.gates import FitGate

FIELDS = ("size_mb", "memory_mb", "latency_ms", "payload_kb")
four = st.tuples(*[st.floats(1e-3, 1e4)] * len(FIELDS))
SMALL = Measured(size_mb=1, memory_mb=60, latency_ms=0.1, payload_kb=0.5)


def test_within_every_limit_it_passes() -> None:
    """All four are shown, each with its unit."""
    result = gate(FitGate(), SMALL)
    assert result.passed
    assert result.observed == "size 1 MB, memory 60 MB, p99 of one record 0.1 ms, payload 0.5 kB"


@pytest.mark.parametrize("limit", FIELDS)
def test_each_limit_refuses_and_says_what_helps(limit: str) -> None:
    """One figure over its limit refuses, is the only one named, and comes with what to do."""
    result = gate(FitGate(**{limit: 0.01}), SMALL)
    assert not result.passed
    assert result.why.endswith("is over 0.01")
    assert "gates={'fit': ...}" in result.next_step


@given(seen=four, limits=four, more=four)
def test_who_fits_fits_into_more(
    seen: tuple[float, ...], limits: tuple[float, ...], more: tuple[float, ...]
) -> None:
    """It passes where every figure is within its own limit, and so the verdict is monotone in each limit."""
    measured = Measured(*seen)
    raised = [limit + extra for limit, extra in zip(limits, more, strict=True)]
    tight, wide = (
        gate(FitGate(**dict(zip(FIELDS, each, strict=True))), measured).passed for each in (limits, raised)
    )
    assert tight is all(value <= limit for value, limit in zip(seen, limits, strict=True))
    assert tight <= wide


def test_what_no_runtime_serves_is_refused_with_its_reason() -> None:
    """Nothing was measured, so nothing is within a limit; off, the gate passes even then."""
    result = gate(FitGate(), Refused("sample 0: another answer"))
    assert not result.passed
    assert result.why == "the runtime refuses the package: sample 0: another answer"
    assert result.required.startswith("at most size 100 MB")
    assert gate(None, Refused("sample 0: another answer")).off


def test_off_it_passes_and_says_so() -> None:
    """A gate that the spec switched off is there, passed, and marked."""
    result = gate(None, Measured(1e9, 1e9, 1e9, 1e9))
    assert (result.passed, result.off) == (True, True)
