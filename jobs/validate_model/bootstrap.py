"""The paired bootstrap: how sure a difference between two models on the same rows is.

Rows are drawn with replacement, the same for both models, so that what is hard for both cancels out (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13). The draws are seeded: the same rows give the same
interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.validate_model.weighted import Kernel

Array = npt.NDArray[np.float64]

_SEED = 20130601
#: Weights held at once (float64), 16 MB: small enough for any holdout, large enough to vectorise.
_BLOCK = 2_000_000
#: Where fewer resamples than this share can be told (the others have one class only), an interval says nothing.
_DEFINED = 0.9


@dataclass(frozen=True)
class Interval:
    """A value with its interval at some confidence; NaN where it cannot be told."""

    point: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        return bool(np.isfinite([self.point, self.low, self.high]).all())


def resampled(kernels: Sequence[Kernel], rows: int, resamples: int) -> tuple[Array, Array]:
    """Each kernel on all rows once, [kernels], and on the same `resamples` draws, [kernels, resamples]."""
    points = np.array([kernel(np.ones((1, rows)))[0] for kernel in kernels])
    draws = np.empty((len(kernels), resamples))
    start = 0
    for weights in _weights(rows, resamples):
        stop = start + len(weights)
        for number, kernel in enumerate(kernels):
            draws[number, start:stop] = kernel(weights)
        start = stop
    return points, draws


def percentile(point: float, draws: Array, confidence: float) -> Interval:
    """The percentile interval of draws [resamples] around a point.

    Widened to hold the point, which the percentiles of a skewed statistic can miss: it errs towards doubt.
    """
    known = draws[np.isfinite(draws)]
    if not np.isfinite(point) or len(known) < _DEFINED * len(draws):
        return Interval(float(point), float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(float(point), min(float(low), float(point)), max(float(high), float(point)))


def simultaneous(point: float, draws: Array, confidence: float, comparisons: int) -> Interval:
    """One of several intervals that all hold together with `confidence` (Bonferroni).

    The tails are far out, where a thousand draws have nothing to count; so it is the normal interval with the
    draws' standard deviation.
    """
    from scipy.stats import norm

    known = draws[np.isfinite(draws)]
    if not np.isfinite(point) or len(known) < _DEFINED * len(draws):
        return Interval(float(point), float("nan"), float("nan"))
    reach = float(norm.ppf(1 - (1 - confidence) / (2 * comparisons)) * known.std(ddof=1))
    return Interval(float(point), float(point) - reach, float(point) + reach)


def not_inferior(gain: Interval, max_loss: float) -> bool:
    """Whether the interval of a gain (positive is better) excludes a loss larger than `max_loss`."""
    return gain.known and gain.low >= -max_loss


def inferior(gain: Interval, max_loss: float) -> bool:
    """Whether the interval of a gain shows a loss larger than `max_loss`."""
    return gain.known and gain.high < -max_loss


def _weights(rows: int, resamples: int) -> Iterator[Array]:
    draw = np.random.default_rng(_SEED)
    block = max(1, _BLOCK // max(rows, 1))
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = draw.integers(0, rows, size=(count, rows))
        drawn += np.arange(count)[:, None] * rows  # each resample counts in a range of its own
        yield np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)
