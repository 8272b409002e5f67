"""How gates write numbers, so that they all read the same."""

from __future__ import annotations

from jobs.validate_model.bootstrap import Interval
from penstock.results import GateResult


def number(value: float) -> str:
    """Four significant digits; the size of a metric's own noise is larger."""
    return f"{value + 0.0:.4g}"  # adding 0 makes -0 0


def signed(value: float) -> str:
    return f"{value + 0.0:+.4g}"


def interval(value: Interval) -> str:
    """`+0.012 [-0.003, +0.027]`, a difference with its interval."""
    return f"{signed(value.point)} [{signed(value.low)}, {signed(value.high)}]"


def off(name: str) -> GateResult:
    """A gate that the spec switched off: it passes, and says so."""
    return GateResult(
        name=name,
        passed=True,
        observed="not looked at",
        required="nothing: the gate is off",
        why=f"the spec switches it off (gates={{'{name}': False}})",
        off=True,
    )
