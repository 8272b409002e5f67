"""What a function's bundle reads and answers, whatever its kind: the names of its columns, and its task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from jobs.bundle.errors import BundleError
from jobs.bundle.field import Field

PREDICTION = "prediction"
PROBABILITY = "probability_"
RAW = "rawPrediction"
INVALID = "invalid"


class Scores(Protocol):
    """What the last predictor of a pipeline answers."""

    @property
    def classes(self) -> int | None:
        """How many classes it tells apart; None for a regressor."""
        ...


S = TypeVar("S", bound=Scores)


def check_names(inputs: Sequence[Field]) -> None:
    """Raise BundleError where the inputs' names cannot be a function's."""
    names = [item.name for item in inputs]
    taken = [
        name
        for name in names
        if name in (PREDICTION, RAW, INVALID) or name.startswith(PROBABILITY) or not name
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    faults = [f"{taken} are names of outputs"] if taken else []
    if twice:
        faults.append(f"{twice} are there twice")
    if not names:
        faults.append("there are none")
    if faults:
        raise BundleError(
            f"the inputs {names} cannot be a function's: {'; '.join(faults)}",
            next_step="rename the columns in features()",
        )


def fitting(scores: S | None, task: str, classes: int | None) -> S:
    """The scores, where the pipeline's model is one for the task. Raises BundleError where it is not."""
    if task not in ("binary", "multiclass", "regression"):
        raise BundleError(f"task is {task!r}; it must be binary, multiclass or regression")
    if scores is None:
        raise BundleError(
            "the pipeline ends without a prediction", next_step="add a classifier or regressor to estimator()"
        )
    wanted = None if task == "regression" else classes
    if scores.classes != wanted:
        found = f"a classifier of {scores.classes} classes" if scores.classes else "a regressor"
        raise BundleError(
            f"the pipeline's model is {found}, but the task is {task} with {wanted or 'no'} classes",
            next_step="make estimator() and the spec's task agree; a class that the training rows lack is lost",
        )
    return scores
