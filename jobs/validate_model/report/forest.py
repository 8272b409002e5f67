"""The forest plot of slices, and the bars of what each column matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.validate_model.gates.slices import Group
from jobs.validate_model.report.style import BAD, CHALLENGER, CHAMPION, GOOD, axes, plain, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 0.24


def gains(groups: Sequence[Group], metric: str, most: float) -> str:
    """Each group's gain with its interval; `most`: the loss that is allowed, drawn as a line."""
    told = [group for group in groups if group.gain is not None and group.gain.known]
    made = axes(
        f"Gain in {metric} by slice (intervals hold together)", width=9.4, height=1.1 + _ROW * len(told)
    )
    made.axvline(0, color="#5a6478", linewidth=1)
    made.axvline(-most, color=BAD, linestyle="--", linewidth=1)
    made.annotate(
        "allowed loss", (-most, 1), xycoords=("data", "axes fraction"), ha="right", va="top", fontsize=8, color=BAD,
        xytext=(-4, 0), textcoords="offset points",
    )  # fmt: skip
    for place, group in enumerate(reversed(told)):
        gain = group.gain
        assert gain is not None
        color = BAD if gain.high < -most else GOOD if gain.low > 0 else CHALLENGER
        made.plot([gain.low, gain.high], [place, place], color=color, linewidth=1.6)
        made.plot(gain.point, place, marker="o", markersize=5, color=color)
    _named(made, told)
    made.set_xlabel("challenger less champion, better to the right")
    return svg(made)


def _named(made: Axes, groups: Sequence[Group]) -> None:
    made.set_yticks(
        range(len(groups)), [plain(f"{group.name}  n={group.rows:,}") for group in reversed(groups)]
    )
    made.set_ylim(-0.7, len(groups) - 0.3)


def values(groups: Sequence[Group], metric: str) -> str:
    """Each group's own metric with its interval, where there is nothing to compare with."""
    made = axes(f"{metric} by slice", width=9.4, height=1.1 + _ROW * len(groups))
    for place, group in enumerate(reversed(groups)):
        own = group.challenger
        made.plot([own.low, own.high], [place, place], color=CHALLENGER, linewidth=1.6)
        made.plot(own.point, place, marker="o", markersize=5, color=CHALLENGER)
    _named(made, groups)
    made.set_xlabel(metric)
    return svg(made)


def importance(losses: Mapping[str, Sequence[float]], metric: str) -> str:
    """What is lost of the metric when a column is shuffled: the mean of the repeats, and their range."""
    ordered = sorted(losses, key=lambda name: float(np.mean(losses[name])))
    made = axes(
        f"What is lost of {metric} when a column is shuffled", width=9.4, height=1.1 + _ROW * len(ordered)
    )
    means = [float(np.mean(losses[name])) for name in ordered]
    made.barh(range(len(ordered)), means, color=CHALLENGER, height=0.62, alpha=0.85)
    for place, name in enumerate(ordered):
        made.plot([min(losses[name]), max(losses[name])], [place, place], color=CHAMPION, linewidth=1.2)
    made.set_yticks(range(len(ordered)), [plain(name) for name in ordered])
    made.set(xlabel=f"loss of {metric}")
    made.grid(axis="y", visible=False)
    return svg(made)
