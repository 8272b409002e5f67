"""The champion's answers on the challenger's holdout: by its own package, else as it once gave them to Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.common.scorer import Scorer
from jobs.validate_model.gates.champion import Unscorable
from jobs.validate_model.scored import Holdout, Scored, aligned, from_graph
from penstock.spec.metrics import METRICS
from penstock_function.records import InputError

#: Below this share of the rows, what the champion once answered does not stand for the holdout.
COVERED = 0.9


@dataclass(frozen=True)
class Answers:
    """A champion's answers, row by row of the challenger's holdout (NaN where it has none), and how they came."""

    scored: Scored
    how: str


def answers(
    champion: Scorer,
    classes: Sequence[Any],
    holdout: Holdout,
    old_holdout: Path,
    names: Mapping[str, str],
    metric: str,
    pipeline: str,
) -> Answers | Unscorable:
    """Score the holdout with the champion's package, in the order of the challenger's `classes`.

    Where features() no longer gives a column that the champion reads, its own holdout answers of then are joined
    by id (`old_holdout`), if they cover 90 % of the rows. `names`: the columns `label`, `id` and `time`. A champion
    that does not give what `metric` asks for cannot be compared by it.
    """
    package = champion.package
    missing = [field.name for field in package.inputs if field.name not in holdout.columns]
    task, y = holdout.spark.task, holdout.spark.y
    if not missing:
        try:
            outputs = champion.score_columns(holdout.columns)
        except (InputError, ValueError, TypeError) as error:
            missing = [f"(cannot be read any more: {error})"]
        else:
            scored = aligned(from_graph(task, y, outputs), package.classes, classes)
            return _told(Answers(scored, "scored by its package"), metric, package.version)
    old = Holdout.read(old_holdout, task=task, label=names["label"], id=names["id"], time=names["time"])
    joined = _by_id(old, holdout)
    covered = float(joined.answered.mean()) if len(joined) else 0.0
    if covered < COVERED:
        last = holdout.times.max()
        return Unscorable(
            version=package.version,
            why=f"it needs columns that features() no longer gives: {', '.join(missing)}; and its own answers of then "
            f"cover {covered:.0%} of these rows, not {COVERED:.0%}",
            next_step=f"train the champion's window with the new code first: `penstock run {pipeline} --date "
            f"{np.datetime_as_string(old.times.max(), unit='D')}`, then this one again (--date "
            f"{np.datetime_as_string(last, unit='D')})",
        )
    how = f"its own answers of then, joined by id: {', '.join(missing)} gone from features()"
    return _told(Answers(aligned(joined, package.classes, classes), how), metric, package.version)


def _told(found: Answers, metric: str, version: str) -> Answers | Unscorable:
    if found.scored.tells(metric):
        return found
    task = found.scored.task
    others = ", ".join(name for name in METRICS[task] if found.scored.tells(name))
    return Unscorable(
        version=version,
        why=f"it gives no scores that {metric} can be told by",
        next_step=f"judge by one of {others} until a model that {metric} can judge serves",
    )


def _by_id(old: Holdout, new: Holdout) -> Scored:
    """The old answers on the new rows, NaN where the old holdout does not have the row."""
    place = {value: row for row, value in enumerate(old.ids.tolist())}
    rows = np.array([place.get(value, -1) for value in new.ids.tolist()], dtype=np.int64)
    there = rows >= 0
    prediction = np.full(len(new), np.nan)
    prediction[there] = old.spark.prediction[rows[there]]
    probabilities = raw = None
    if old.spark.probabilities is not None:
        probabilities = np.full((len(new), old.spark.probabilities.shape[1]), np.nan)
        probabilities[there] = old.spark.probabilities[rows[there]]
    if old.spark.raw is not None:
        raw = np.full(len(new), np.nan)
        raw[there] = old.spark.raw[rows[there]]
    return Scored(new.spark.task, new.spark.y, prediction, probabilities, raw)
