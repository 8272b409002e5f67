"""Which features moved an answer: feature ablation against the package's reference row.

The record is scored again for each feature, with that feature alone replaced by its reference: its median, or its most
frequent value, in training. What the score changes by is the feature's share in it. As features are replaced one at a
time, what two of them do only together is not seen, and the changes do not add up to the score.

The method under this name: https://captum.ai/api/feature_ablation.html; of images it is called occlusion (M. D. Zeiler
and R. Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from penstock_function.package import Package, PackageError
from penstock_function.records import InputError
from penstock_function.scorer import Scorer

MAX_COLUMNS = 500  # so many rows are scored for one record: the work of a body of some MiB
MAX_FEATURES = 10  # how many of them are told


def hindrance(package: Package) -> str | None:
    """Why answers of this package cannot be explained; None where they can."""
    if package.reference is None:
        return "its package has no reference row: an older Penstock made it, run its pipeline again"
    if package.classes and package.output == "prediction":
        return "it answers classes without their probabilities, and there is no score to explain"
    if len(package.inputs) > MAX_COLUMNS:
        return f"it has {len(package.inputs)} columns, at most {MAX_COLUMNS} are explained"
    return None


class Explainer:
    """Explains the answers of one scorer, whose package has no `hindrance`.

    Raises:
        PackageError: the package's reference row does not fit its columns.
    """

    def __init__(self, scorer: Scorer) -> None:
        assert scorer.package.reference is not None
        self._scorer = scorer
        self._reference = scorer.package.reference
        try:
            self._columns = scorer.encoder.encode([self._reference])
        except InputError as error:
            raise PackageError(f"function.json: the reference row is refused: {error}") from error

    def explain(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The features whose replacement changes the score of a record that the model answers, most first.

        Each as {"feature": name, "reference": what it was replaced by, "change": score(record) - score(replaced)}; the
        score is the probability of the predicted class, or a regression's prediction. At most MAX_FEATURES; those that
        change nothing are left out, and so are those whose replacement the model does not answer.
        """
        rows = len(self._columns) + 1
        batch = {
            name: np.repeat(column, rows) for name, column in self._scorer.encoder.encode([record]).items()
        }
        for row, (name, reference) in enumerate(self._columns.items(), start=1):
            batch[name][row] = reference[0]
        # The record itself is in the batch, as a graph may round otherwise in a batch of another size.
        answer, *replaced = self._scorer.answer(batch)
        before = _score(answer, answer["prediction"])
        changes = []
        for name, other in zip(self._columns, replaced, strict=True):
            after = _score(other, answer["prediction"])
            if before is not None and after is not None and before != after:
                changes.append(
                    {"feature": name, "reference": self._reference[name], "change": before - after}
                )
        return sorted(changes, key=lambda change: -abs(change["change"]))[:MAX_FEATURES]


def _score(answer: Mapping[str, Any], predicted: Any) -> float | None:
    """The score of an answer; None where the model refused the row or had no number for it."""
    probabilities = answer.get("probability")
    score: float | None = (
        answer.get("prediction") if probabilities is None else probabilities.get(str(predicted))
    )
    return score
