"""Permutation importance (Breiman 2001) through the package itself, at a bounded cost."""

from __future__ import annotations

import numpy as np

from jobs.common.metrics import value
from jobs.common.scorer import Scorer
from jobs.validate_model.gates.losses import sign
from jobs.validate_model.scored import Holdout, from_graph
from penstock.spec.metrics import METRICS

#: Rows and repeats: for 30 columns some 180,000 rows are scored, a second or two.
_ROWS, _REPEATS = 2000, 3


def losses(scorer: Scorer, holdout: Holdout, metric: str) -> dict[str, list[float]]:
    """For each input, how much of `metric` is lost when its values are shuffled between rows, once a repeat.

    Positive is worse without the column. On at most 2,000 rows, seeded.
    """
    draw = np.random.default_rng(0)
    rows = draw.permutation(len(holdout))[:_ROWS]
    columns = {field.name: holdout.columns[field.name][rows] for field in scorer.package.inputs}
    task, y = holdout.spark.task, holdout.spark.y[rows]
    turn = sign(METRICS[task][metric])

    def judged(given: dict[str, object]) -> float:
        scored = from_graph(task, y, scorer.score_columns(given))  # type: ignore[arg-type]
        return turn * value(task, metric, y, scored.prediction, scored.probabilities, scored.raw)

    whole = judged(dict(columns))
    return {
        name: [
            whole - judged({**columns, name: columns[name][draw.permutation(len(rows))]})
            for _ in range(_REPEATS)
        ]
        for name in columns
    }
