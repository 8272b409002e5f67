"""Pictures of a regression model: predicted against actual, residuals."""

from __future__ import annotations

import numpy as np

from jobs.validate_model.report.curves import Shown
from jobs.validate_model.report.style import CHALLENGER, FAINT, axes, svg
from jobs.validate_model.scored import Array, Scored

_POINTS = 1500  # in a scatter: more is a blot, and megabytes
_BINS = 10


def draw(models: Shown) -> list[str]:
    """The pictures as SVG."""
    return [_scatter(models[-1][2]), _residuals(models), _against(models[-1][2]), _binned(models)]


def _answered(scored: Scored) -> tuple[Array, Array]:
    there = scored.answered
    return scored.y[there], scored.prediction[there]


def _some(scored: Scored) -> tuple[Array, Array]:
    y, prediction = _answered(scored)
    if len(y) > _POINTS:
        rows = np.random.default_rng(0).choice(len(y), _POINTS, replace=False)
        y, prediction = y[rows], prediction[rows]
    return y, prediction


def _scatter(scored: Scored) -> str:
    made = axes("Predicted and actual")
    y, prediction = _some(scored)
    low, high = float(min(y.min(), prediction.min())), float(max(y.max(), prediction.max()))
    made.plot([low, high], [low, high], color=FAINT, linestyle="--", linewidth=1)
    made.scatter(prediction, y, s=6, color=CHALLENGER, alpha=0.25, linewidths=0)
    shown = f" ({len(y):,} of {len(scored):,} rows)" if len(y) < len(scored) else ""
    made.set(xlabel="predicted", ylabel=f"actual{shown}")
    return svg(made)


def _residuals(models: Shown) -> str:
    made = axes("Residuals")
    everything = np.concatenate([y - prediction for y, prediction in (_answered(m) for _, _, m in models)])
    # The outermost percent would leave the rest a line.
    low, high = np.quantile(everything, [0.005, 0.995]).tolist()
    edges = np.linspace(low, high, 41).tolist()
    for name, color, scored in models:
        y, prediction = _answered(scored)
        made.hist(y - prediction, edges, color=color, histtype="step", linewidth=1.6, label=name)
    made.axvline(0, color=FAINT, linestyle="--", linewidth=1)
    made.set(xlabel="actual less predicted (middle 99 %)", ylabel="rows")
    made.legend(loc="upper right")
    return svg(made)


def _against(scored: Scored) -> str:
    made = axes("Residuals against what was predicted")
    y, prediction = _some(scored)
    made.axhline(0, color=FAINT, linestyle="--", linewidth=1)
    made.scatter(prediction, y - prediction, s=6, color=CHALLENGER, alpha=0.25, linewidths=0)
    made.set(xlabel="predicted", ylabel="actual less predicted")
    return svg(made)


def _binned(models: Shown) -> str:
    made = axes("Mean actual by tenth of the predictions")
    for name, color, scored in models:
        y, prediction = _answered(scored)
        bins = [part for part in np.array_split(np.argsort(prediction, kind="stable"), _BINS) if len(part)]
        said = [prediction[part].mean() for part in bins]
        seen = [y[part].mean() for part in bins]
        error = [1.96 * y[part].std() / np.sqrt(len(part)) for part in bins]
        made.errorbar(said, seen, error, color=color, marker="o", markersize=4, linewidth=1.4, label=name)
    low, high = made.get_xlim()
    made.plot([low, high], [low, high], color=FAINT, linestyle="--", linewidth=1)
    made.set(xlabel="mean predicted", ylabel="mean actual")
    made.legend(loc="upper left")
    return svg(made)
