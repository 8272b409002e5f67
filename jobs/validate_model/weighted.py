"""The metrics on many weightings of the same rows at once, as the bootstrap needs them.

A resample of n rows with replacement is a vector of n counts. What does not depend on the counts (order of the
scores, losses of the rows) is worked out once for a model; a block of resamples then takes a few passes over a
matrix. With all weights 1 each metric equals that of jobs.common.metrics, which the tests hold.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jobs.validate_model.scored import Scored

Array = npt.NDArray[np.float64]
#: weights [resamples, n] -> values [resamples]; NaN where a metric cannot be told (one class only, say)
Kernel = Callable[[Array], Array]


def kernel(name: str, scored: Scored) -> Kernel:
    """The metric `name` of a model's answers as a function of the rows' weights; every row has an answer."""
    made: Kernel = _KERNELS[name](scored)
    return made


def _ratio(above: Array, below: Array) -> Array:
    ratio: Array = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return ratio


def _mean(loss: Array) -> Kernel:
    return lambda weights: _ratio(weights @ loss, weights.sum(axis=1))


def _ranked(score: Array | None, y: Array) -> tuple[npt.NDArray[np.int64], Array, npt.NDArray[np.int64]]:
    """The rows by rising score, their labels, and where each run of equal scores starts."""
    assert score is not None
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    return order, (y[order] == 1).astype(np.float64), starts


def _by_score(
    weights: Array, order: npt.NDArray[np.int64], y: Array, starts: npt.NDArray[np.int64]
) -> tuple[Array, Array]:
    """Weights of the positives and of the negatives at each distinct score, [resamples, scores]."""
    ranked = weights[:, order]
    positive = ranked * y
    negative = ranked - positive
    if len(starts) < len(order):
        positive = np.add.reduceat(positive, starts, axis=1)
        negative = np.add.reduceat(negative, starts, axis=1)
    return positive, negative


def _roc_auc(scored: Scored) -> Kernel:
    # The share of pairs of a positive and a negative that are in the right order, ties counting half
    # (Hanley and McNeil 1982).
    order, y, starts = _ranked(scored.ranking, scored.y)

    def auc(weights: Array) -> Array:
        positive, negative = _by_score(weights, order, y, starts)
        below = np.cumsum(negative, axis=1)
        all_negative = below[:, -1].copy()
        below -= negative / 2
        return _ratio(np.einsum("ij,ij->i", positive, below), positive.sum(axis=1) * all_negative)

    return auc


def _pr_auc(scored: Scored) -> Kernel:
    # Average precision: the sum over thresholds of precision times the gain in recall (scikit-learn's).
    order, y, starts = _ranked(scored.ranking, scored.y)

    def average_precision(weights: Array) -> Array:
        positive, negative = _by_score(weights, order, y, starts)
        hits = np.cumsum(positive[:, ::-1], axis=1)
        taken = hits + np.cumsum(negative[:, ::-1], axis=1)
        precision = np.divide(hits, taken, out=np.zeros(hits.shape), where=taken > 0)
        return _ratio(np.einsum("ij,ij->i", positive[:, ::-1], precision), hits[:, -1])

    return average_precision


def _log_loss(scored: Scored) -> Kernel:
    assert scored.probabilities is not None
    own = scored.probabilities[np.arange(len(scored)), scored.y.astype(np.int64)]
    return _mean(-np.log(np.clip(own, np.finfo(np.float64).eps, 1.0)))


def _brier(scored: Scored) -> Kernel:
    assert scored.probabilities is not None
    return _mean((scored.probabilities[:, 1] - scored.y) ** 2)


def _accuracy(scored: Scored) -> Kernel:
    return _mean((scored.y == scored.prediction).astype(np.float64))


def _f1_of(scored: Scored, classes: list[float]) -> Callable[[Array], Array]:
    """The F1 of each class, [resamples, classes]; NaN for one that is neither a label nor an answer."""
    truth = np.column_stack([scored.y == value for value in classes]).astype(np.float64)
    answer = np.column_stack([scored.prediction == value for value in classes]).astype(np.float64)
    hit = truth * answer
    # F1 is 2 TP / (2 TP + FP + FN), and TP + FP and TP + FN are the answers and the labels.
    return lambda weights: _ratio(2 * (weights @ hit), weights @ (truth + answer))


def _f1(scored: Scored) -> Kernel:
    of_class = _f1_of(scored, [1.0])
    return lambda weights: np.nan_to_num(of_class(weights)[:, 0])


def _macro_f1(scored: Scored) -> Kernel:
    of_class = _f1_of(scored, sorted({*scored.y, *scored.prediction}))

    def mean(weights: Array) -> Array:
        values = of_class(weights)
        there = ~np.isnan(values)
        return _ratio(np.where(there, values, 0).sum(axis=1), there.sum(axis=1).astype(np.float64))

    return mean


def _rmse(scored: Scored) -> Kernel:
    mean = _mean((scored.y - scored.prediction) ** 2)
    return lambda weights: np.sqrt(mean(weights))


def _mae(scored: Scored) -> Kernel:
    return _mean(np.abs(scored.y - scored.prediction))


def _r2(scored: Scored) -> Kernel:
    error = (scored.y - scored.prediction) ** 2
    centred = scored.y - scored.y.mean()

    def r2(weights: Array) -> Array:
        total = weights.sum(axis=1)
        spread = weights @ centred**2 - (weights @ centred) ** 2 / np.where(total > 0, total, np.nan)
        return 1 - _ratio(weights @ error, spread)

    return r2


_KERNELS: dict[str, Callable[[Scored], Kernel]] = {
    "roc_auc": _roc_auc, "pr_auc": _pr_auc, "log_loss": _log_loss, "brier": _brier, "accuracy": _accuracy,
    "f1": _f1, "macro_f1": _macro_f1, "rmse": _rmse, "mae": _mae, "r2": _r2,
}  # fmt: skip
