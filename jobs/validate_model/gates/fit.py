"""Gate 6, fit: the package is within what the target can carry."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.validate_model.gates.text import number, off
from penstock.results import GateResult
from penstock.spec.gates import FitGate

NAME = "fit"


@dataclass(frozen=True)
class Measured:
    """Package size and memory of the runtime's process (1e6 bytes), p99 of its own time for one record (ms), largest sample (1e3 bytes)."""

    size_mb: float
    memory_mb: float
    latency_ms: float
    payload_kb: float


@dataclass(frozen=True)
class Refused:
    """The runtime would not serve the package, and so nothing was measured; its reason."""

    reason: str


_NAMES = {
    "size_mb": ("size", "MB"),
    "memory_mb": ("memory", "MB"),
    "latency_ms": ("p99 of one record", "ms"),
    "payload_kb": ("payload", "kB"),
}
_NEXT = {
    "size_mb": "fewer or shallower trees, or fewer categories",
    "memory_mb": "fewer or shallower trees, or fewer categories",
    "latency_ms": "fewer or shallower trees, fewer columns; on a busy machine, run again",
    "payload_kb": "fewer or shorter columns",
}


def gate(settings: FitGate | None, found: Measured | Refused) -> GateResult:
    """Judge what was measured by the limits; what no runtime serves fits nowhere."""
    if settings is None:
        return off(NAME)
    required = "at most " + ", ".join(_said(name, getattr(settings, name)) for name in _NAMES)
    if isinstance(found, Refused):
        return GateResult(
            name=NAME,
            passed=False,
            observed="nothing: the runtime does not serve it",
            required=required,
            why=f"the runtime refuses the package: {found.reason}",
            next_step="see what the parity gate says of it; where that is content, report it as a defect",
        )
    over = [name for name in _NAMES if getattr(found, name) > getattr(settings, name)]
    return GateResult(
        name=NAME,
        passed=not over,
        observed=", ".join(_said(name, getattr(found, name)) for name in _NAMES),
        required=required,
        why=", ".join(
            f"{_said(name, getattr(found, name))} is over {getattr(settings, name):g}" for name in over
        )
        if over
        else "within every limit",
        next_step="; ".join(dict.fromkeys(_NEXT[name] for name in over))
        + ("; or allow more with gates={'fit': ...}" if over else ""),
    )


def _said(name: str, value: float) -> str:
    label, unit = _NAMES[name]
    return f"{label} {number(value)} {unit}"
