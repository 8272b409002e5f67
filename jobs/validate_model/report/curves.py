"""Pictures of a binary model: ROC, precision and recall, calibration, scores; champion beside challenger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn import metrics as sk

from jobs.validate_model.report.style import BAD, CHALLENGER, CHAMPION, FAINT, axes, lean, svg
from jobs.validate_model.scored import Array, Scored

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: (name, color, answers) of each model that is shown
Shown = Sequence[tuple[str, str, Scored]]
_BINS = 10


def shown(challenger: Scored, champion: Scored | None) -> Shown:
    """The models in the order of drawing: the challenger on top."""
    found = [("challenger", CHALLENGER, challenger)]
    return found if champion is None else [("champion", CHAMPION, champion), *found]


def draw(models: Shown) -> list[str]:
    """The pictures as SVG."""
    ranking = [model for model in models if model[2].ranking is not None]
    pictures = [_roc(ranking), _precision_recall(ranking)]
    if sure := probable(models):
        pictures.append(_calibration(sure))
    return [*pictures, _scores(models[-1][2])]


def probable(models: Shown) -> Shown:
    """The models that give probabilities."""
    return [model for model in models if model[2].probabilities is not None]


def _answered(scored: Scored) -> tuple[Array, Array]:
    """Labels and scores of class 1 of the rows that have an answer."""
    assert scored.ranking is not None
    there = scored.answered
    return scored.y[there], scored.ranking[there]


def _unit(made: Axes, x: str, y: str) -> None:
    made.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y)


def _roc(models: Shown) -> str:
    made = axes("ROC curve")
    made.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
    for name, color, scored in models:
        y, share = _answered(scored)
        wrong, right, _ = sk.roc_curve(y, share)
        area = sk.auc(wrong, right)
        made.plot(*lean(wrong, right), color=color, label=f"{name}, area {area:.3f}")
    _unit(made, "false positive rate", "true positive rate")
    made.legend(loc="lower right")
    return svg(made)


def _precision_recall(models: Shown) -> str:
    made = axes("Precision and recall")
    for name, color, scored in models:
        y, share = _answered(scored)
        precision, recall, _ = sk.precision_recall_curve(y, share)
        average = sk.average_precision_score(y, share)
        made.plot(*lean(recall, precision), color=color, label=f"{name}, average {average:.3f}")
    base = float(models[-1][2].y.mean())
    made.axhline(base, color=FAINT, linestyle="--", linewidth=1)
    made.annotate(
        f"base rate {base:.3f}", (0.02, base), ha="left", va="top", fontsize=8, color="#5a6478",
        xytext=(0, -2), textcoords="offset points",
    )  # fmt: skip
    _unit(made, "recall", "precision")
    made.legend(loc="best")
    return svg(made)


def _calibration(models: Shown) -> str:
    made = axes("Calibration: said and seen, in tenths of the rows")
    top = 0.0
    for name, color, scored in models:
        y, share = _answered(scored)
        order = np.argsort(share, kind="stable")
        bins = [part for part in np.array_split(order, _BINS) if len(part)]
        said = np.array([share[part].mean() for part in bins])
        seen = np.array([y[part].mean() for part in bins])
        # The normal interval of a share; what is hidden below 0 is no loss.
        reach = 1.96 * np.sqrt(seen * (1 - seen) / np.array([len(part) for part in bins]))
        made.errorbar(said, seen, reach, color=color, marker="o", markersize=4, linewidth=1.4, label=name)
        top = max(top, float(said.max()), float((seen + reach).max()))
    made.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
    end = min(1.02, top * 1.08)
    made.set(xlim=(-0.01, end), ylim=(-0.01, end), xlabel="mean probability said", ylabel="share seen")
    made.legend(loc="best")
    return svg(made)


def _scores(scored: Scored) -> str:
    made = axes("Scores of the challenger by what happened")
    y, share = _answered(scored)
    edges = np.linspace(min(float(share.min()), 0), max(float(share.max()), 1e-9), 31).tolist()
    for value, color, name in ((0, "#b9c3d6", "label 0"), (1, BAD, "label 1")):
        made.hist(
            share[y == value],
            edges,
            density=True,
            color=color,
            alpha=0.65,
            label=f"{name}, {int((y == value).sum()):,} rows",
        )
    kind = "raw score" if scored.probabilities is None else "probability"
    made.set(xlabel=f"{kind} of label 1", ylabel="density")
    made.legend(loc="best")
    return svg(made)
