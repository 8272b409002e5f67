"""Challenger and champion by every metric and in every slice, all on the same draws of the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.validate_model import bootstrap
from jobs.validate_model.bootstrap import Interval
from jobs.validate_model.gates.losses import sign
from jobs.validate_model.gates.slices import CONFIDENCE, Group
from jobs.validate_model.scored import Scored
from jobs.validate_model.weighted import Kernel, kernel
from penstock.spec.metrics import METRICS

Array = npt.NDArray[np.float64]
_SEVERAL = 2
_NONE = Interval(nan, nan, nan)


@dataclass(frozen=True)
class Line:
    """One metric of both models, each with its interval; `gain` is positive where the challenger is better."""

    metric: str
    maximize: bool
    challenger: Interval
    champion: Interval | None
    gain: Interval | None


@dataclass(frozen=True)
class Comparison:
    """Every metric, and every slice by the primary one, on the `rows` rows that both models answer."""

    lines: Mapping[str, Line]
    groups: Sequence[Group]
    small: int
    rows: int


@dataclass(frozen=True)
class Plan:
    """What to compare by: the primary metric, slice columns [n] by name, and the bootstrap's size."""

    metric: str
    slices: Mapping[str, npt.NDArray[Any]]
    min_rows: int
    confidence: float
    resamples: int


def compare(challenger: Scored, champion: Scored | None, plan: Plan) -> Comparison:
    """Compare two models on the same rows, in the same order; without a champion, the challenger alone.

    By the metrics that both tell; the plan's must be one of them.
    """
    rows = challenger.answered if champion is None else challenger.answered & champion.answered
    if not rows.any():  # every row refused by one of them
        both = None if champion is None else _NONE
        return Comparison(
            {name: _unknown(name, challenger, both) for name in METRICS[challenger.task]}, [], 0, 0
        )
    models = [model.take(rows) for model in (challenger, champion) if model is not None]
    metrics = [name for name in METRICS[challenger.task] if all(model.tells(name) for model in models)]
    members, small = _members({name: values[rows] for name, values in plan.slices.items()}, plan.min_rows)
    kernels = [kernel(name, model) for name in metrics for model in models]
    kernels += [
        _within(index, kernel(plan.metric, model.take(index)))
        for index in members.values()
        for model in models
    ]
    points, draws = bootstrap.resampled(kernels, len(models[0]), plan.resamples)
    pairs = [slice(start, start + len(models)) for start in range(0, len(kernels), len(models))]
    lines = {
        name: _line(name, challenger, points[pair], draws[pair], plan.confidence)
        for name, pair in zip(metrics, pairs, strict=False)
    }
    turn = sign(METRICS[challenger.task][plan.metric])
    groups = [
        _group(name, len(index), points[pair], draws[pair], turn, len(members), plan.confidence)
        for (name, index), pair in zip(members.items(), pairs[len(metrics) :], strict=True)
    ]
    return Comparison(lines, groups, small, len(models[0]))


def _members(
    slices: Mapping[str, npt.NDArray[Any]], min_rows: int
) -> tuple[dict[tuple[str, str], npt.NDArray[np.int64]], int]:
    """The rows of each group of at least `min_rows`, the largest first in each column, and how many are smaller."""
    found: dict[tuple[str, str], npt.NDArray[np.int64]] = {}
    small = 0
    for column, values in slices.items():
        names = np.array([_name(value) for value in values.tolist()], dtype=object)
        distinct, place, counts = np.unique(names.astype(str), return_inverse=True, return_counts=True)
        for number in np.argsort(-counts, kind="stable"):
            if counts[number] >= min_rows:
                found[column, str(distinct[number])] = np.flatnonzero(place == number)
            else:
                small += 1
    return found, small


def _name(value: Any) -> str:
    if value is None or value != value:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _within(rows: npt.NDArray[np.int64], of_rows: Kernel) -> Kernel:
    return lambda weights: of_rows(weights[:, rows])


def _unknown(metric: str, challenger: Scored, champion: Interval | None) -> Line:
    return Line(metric, METRICS[challenger.task][metric] == "maximize", _NONE, champion, champion)


def _line(metric: str, challenger: Scored, points: Array, draws: Array, confidence: float) -> Line:
    maximize = METRICS[challenger.task][metric] == "maximize"
    own = bootstrap.percentile(points[0], draws[0], confidence)
    if len(points) < _SEVERAL:
        return Line(metric, maximize, own, None, None)
    turn = 1.0 if maximize else -1.0
    gain = bootstrap.percentile(turn * (points[0] - points[1]), turn * (draws[0] - draws[1]), confidence)
    return Line(metric, maximize, own, bootstrap.percentile(points[1], draws[1], confidence), gain)


def _group(
    name: tuple[str, str], rows: int, points: Array, draws: Array, turn: float, groups: int, confidence: float
) -> Group:
    column, value = name
    own = bootstrap.percentile(points[0], draws[0], confidence)
    if len(points) < _SEVERAL:
        return Group(column, value, rows, own, None, None)
    gain = bootstrap.simultaneous(
        turn * (points[0] - points[1]), turn * (draws[0] - draws[1]), CONFIDENCE, groups
    )
    return Group(column, value, rows, own, float(points[1]), gain)
