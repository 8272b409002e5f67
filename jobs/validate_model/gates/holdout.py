"""Gate 2, holdout: the candidate's metrics on the holdout against thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping

from jobs.validate_model.gates.text import number, off
from penstock.results import GateResult
from penstock.spec.gates import Threshold
from penstock.spec.metrics import Task

NAME = "holdout"

#: Where the spec sets no threshold, a model must at least beat one that knows nothing. These three say so whatever
#: the classes' shares and also for a balanced model; accuracy, F1 and log loss do not (answering the largest class,
#: or always yes, can beat a useful model by them).
_NO_SKILL: dict[Task, dict[str, Threshold]] = {
    "binary": {"roc_auc": Threshold("> 0.5")},
    "regression": {"r2": Threshold("> 0")},
}


def gate(
    thresholds: Mapping[str, Threshold] | None,
    task: Task,
    metrics: Mapping[str, float],
    *,
    shares: tuple[float, ...] = (),
) -> GateResult:
    """Judge `metrics` (by name, on the whole holdout) by thresholds; None: the gate is off, empty: the defaults.

    `shares`: of each class among the holdout's labels; a multiclass model's macro F1 must beat that of the answer
    that is always the largest.
    """
    if thresholds is None:
        return off(NAME)
    given = bool(thresholds)
    required = dict(thresholds) if given else _default(task, shares)
    failed = [name for name, bound in required.items() if not bound.holds(metrics.get(name, math.nan))]
    observed = ", ".join(f"{name} {number(metrics.get(name, math.nan))}" for name in required)
    source = "the spec's thresholds" if given else "the defaults (no better than knowing nothing is refused)"
    if failed:
        misses = ", ".join(
            f"{name} is {number(metrics.get(name, math.nan))}, required {required[name]}" for name in failed
        )
        why = f"{misses}, by {source}"
    else:
        why = f"{len(required)} of {len(required)} thresholds hold, by {source}"
    return GateResult(
        name=NAME,
        passed=not failed,
        observed=observed,
        required=", ".join(f"{name} {bound}" for name, bound in required.items()),
        why=why,
        next_step="look at the report's curves and slices; improve features() or the search, or set "
        "gates={'holdout': ...} to what this problem can give"
        if failed
        else "",
    )


def _default(task: Task, shares: tuple[float, ...]) -> dict[str, Threshold]:
    if task != "multiclass":
        return _NO_SKILL[task]
    largest = max(shares)
    # Always the class of share p: its F1 is 2p / (1 + p), the others' 0.
    return {"macro_f1": Threshold(f"> {2 * largest / (1 + largest) / len(shares):.6g}")}
