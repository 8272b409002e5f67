"""How much of a metric may be lost, where the spec does not say."""

from __future__ import annotations

from penstock.spec.metrics import Direction

#: Metrics without an upper end: a loss is told as a share of the champion's own value.
_UNBOUNDED = {"rmse", "mae", "log_loss"}


def allowed(metric: str, champion: float, max_loss: float | None) -> float:
    """The loss that is allowed, in units of the metric (spec.gates): 0.01, or 2 % of the champion's own value."""
    if max_loss is not None:
        return max_loss
    return 0.02 * abs(champion) if metric in _UNBOUNDED else 0.01


def said(metric: str, max_loss: float | None) -> str:
    """The loss that is allowed, in words."""
    if max_loss is not None:
        return f"{max_loss:g}"
    return "2 % of the champion's own value" if metric in _UNBOUNDED else "0.01"


def sign(direction: Direction) -> float:
    """What turns a difference of a metric into a gain, where positive is better."""
    return 1.0 if direction == "maximize" else -1.0
