"""The metrics of a scored table, the same wherever a model is judged (penstock.spec.metrics names them).

Written on arrays, as training judges trials, and the gates judge holdouts, slices and resamples, by the same code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn import metrics as sk

from penstock.spec.metrics import METRICS, RANKED, Task

Array = npt.NDArray[np.float64]
#: y, prediction, scores of the classes [n, K] (or None) -> value
Metric = Callable[[Array, Array, Array | None], float]


def compute(
    task: Task, y: Array, prediction: Array, probabilities: Array | None = None, raw: Array | None = None
) -> dict[str, float]:
    """Every metric of `task` on scored rows.

    `y` and `prediction`: float64 [n], class indices (0 … K-1) or values. `probabilities`: float64 [n, K], column k
    that of class k; None where the model gives none. `raw`: float64 [n], the raw score of class 1 of a binary model
    without probabilities, by which the areas under the curves can be told. Rows without a prediction (NaN: the model
    refused them) are left out. A metric that cannot be told (no rows, AUC with one class, probabilities missing) is
    NaN, which keeps no threshold.
    """
    return {name: value(task, name, y, prediction, probabilities, raw) for name in METRICS[task]}


def value(
    task: Task,
    name: str,
    y: Array,
    prediction: Array,
    probabilities: Array | None = None,
    raw: Array | None = None,
) -> float:
    """One metric by name, on arrays as in `compute`."""
    scored = ~np.isnan(prediction)
    if not scored.any():
        return float("nan")
    if not scored.all():
        y, prediction = y[scored], prediction[scored]
        probabilities = None if probabilities is None else probabilities[scored]
        raw = None if raw is None else raw[scored]
    scores = probabilities
    if name in RANKED and probabilities is None and raw is not None:
        scores = np.column_stack([-raw, raw])
    return float(_METRICS[task][name](y, prediction, scores))


def _roc_auc(y: Array, prediction: Array, scores: Array | None) -> float:
    if scores is None or len(np.unique(y)) < 2:
        return float("nan")
    return float(sk.roc_auc_score(y, scores[:, 1]))


def _pr_auc(y: Array, prediction: Array, scores: Array | None) -> float:
    if scores is None or not (y == 1).any():
        return float("nan")
    return float(sk.average_precision_score(y, scores[:, 1]))


def _log_loss(y: Array, prediction: Array, probabilities: Array | None) -> float:
    if probabilities is None:
        return float("nan")
    # Written out: scikit-learn asks for rows that sum to 1 within float32, and refuses a slice of one class.
    # Probabilities of 0 are clipped to the smallest step of float64, as it does.
    own = probabilities[np.arange(len(y)), y.astype(np.int64)]
    return float(-np.log(np.clip(own, np.finfo(np.float64).eps, 1.0)).mean())


def _brier(y: Array, prediction: Array, probabilities: Array | None) -> float:
    if probabilities is None:
        return float("nan")
    return float(np.mean((probabilities[:, 1] - y) ** 2))


def _accuracy(y: Array, prediction: Array, probabilities: Array | None) -> float:
    return float(np.mean(y == prediction))


def _f1(y: Array, prediction: Array, probabilities: Array | None) -> float:
    return float(sk.f1_score(y, prediction, pos_label=1, zero_division=0.0))


def _macro_f1(y: Array, prediction: Array, probabilities: Array | None) -> float:
    return float(sk.f1_score(y, prediction, average="macro", zero_division=0.0))


def _rmse(y: Array, prediction: Array, probabilities: Array | None) -> float:
    return float(np.sqrt(np.mean((y - prediction) ** 2)))


def _mae(y: Array, prediction: Array, probabilities: Array | None) -> float:
    return float(np.mean(np.abs(y - prediction)))


def _r2(y: Array, prediction: Array, probabilities: Array | None) -> float:
    if len(y) < 2:
        return float("nan")
    return float(sk.r2_score(y, prediction))


_METRICS: dict[Task, dict[str, Metric]] = {
    "binary": {
        "roc_auc": _roc_auc, "pr_auc": _pr_auc, "log_loss": _log_loss,
        "brier": _brier, "accuracy": _accuracy, "f1": _f1,
    },
    "multiclass": {"accuracy": _accuracy, "macro_f1": _macro_f1, "log_loss": _log_loss},
    "regression": {"rmse": _rmse, "mae": _mae, "r2": _r2},
}  # fmt: skip
