"""Pictures of a multiclass model: its confusion matrix and how sure it may be taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jobs.validate_model.report.curves import Shown, probable
from jobs.validate_model.report.style import FAINT, INK, axes, plain, svg
from jobs.validate_model.scored import Scored

_BINS = 10
#: Above this many classes numbers no longer fit into the squares.
_NUMBERED = 12


def draw(models: Shown, classes: Sequence[Any]) -> list[str]:
    """The pictures as SVG."""
    pictures = [_matrix(models[-1][2], [plain(str(value)) for value in classes])]
    if sure := probable(models):
        pictures.append(_sureness(sure))
    return pictures


def _matrix(scored: Scored, names: list[str]) -> str:
    made = axes("Confusion matrix of the challenger")
    there = scored.answered
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (scored.y[there].astype(int), scored.prediction[there].astype(int)), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    made.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= _NUMBERED:
        for (row, column), value in np.ndenumerate(share):
            made.text(
                column, row, f"{value:.0%}\n{int(counts[row, column]):,}", ha="center", va="center", fontsize=8,
                color="white" if value > 0.55 else INK,
            )  # fmt: skip
    made.set_xticks(range(len(names)), names)
    made.set_yticks(range(len(names)), names)
    made.grid(False)
    made.set(xlabel="predicted", ylabel="actual (shares of a row)")
    return svg(made)


def _sureness(models: Shown) -> str:
    made = axes("Calibration: how sure, and how often right")
    for name, color, scored in models:
        there = scored.answered
        assert scored.probabilities is not None
        sure = scored.probabilities[there].max(axis=1)
        right = (scored.y == scored.prediction)[there]
        bins = [part for part in np.array_split(np.argsort(sure, kind="stable"), _BINS) if len(part)]
        said = [sure[part].mean() for part in bins]
        seen = [right[part].mean() for part in bins]
        made.plot(said, seen, color=color, marker="o", markersize=4, linewidth=1.4, label=name)
    made.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1)
    made.set(xlabel="probability of the answer", ylabel="share right", xlim=(0, 1.02), ylim=(0, 1.02))
    made.legend(loc="upper left")
    return svg(made)
