"""A scored table: labels and a model's answers on the same rows, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from penstock.spec.metrics import OF_PROBABILITIES, RANKED, Task

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """Answers of a model on n rows.

    `y` and `prediction`: float64 [n], class indices or values. `probabilities`: float64 [n, K], column k that of
    class k, None where the model gives none. `raw`: float64 [n], the raw score of class 1 of a binary model without
    probabilities, else None. A row that the model refused has NaN answers.
    """

    task: Task
    y: Array
    prediction: Array
    probabilities: Array | None
    raw: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: npt.NDArray[Any]) -> Scored:
        """The rows of a mask or an index."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        raw = None if self.raw is None else self.raw[rows]
        return replace(
            self, y=self.y[rows], prediction=self.prediction[rows], probabilities=probabilities, raw=raw
        )

    @property
    def ranking(self) -> Array | None:
        """What orders the rows of a binary task, float64 [n]: the probability of class 1, else its raw score."""
        return self.raw if self.probabilities is None else self.probabilities[:, 1]

    def tells(self, metric: str) -> bool:
        """Whether the model gives what a metric asks for."""
        if metric in OF_PROBABILITIES:
            return self.probabilities is not None
        return metric not in RANKED or self.ranking is not None

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """Which rows have an answer, bool [n]."""
        return ~np.isnan(self.prediction)


@dataclass(frozen=True)
class Holdout:
    """The holdout as training left it: each row's id and columns, and Spark's own answers.

    `columns`: an array [n] for each feature, float64 with NaN for null, or object with None for null.
    """

    ids: npt.NDArray[Any]
    times: npt.NDArray[Any]
    columns: Mapping[str, npt.NDArray[Any]]
    spark: Scored

    @classmethod
    def read(cls, path: Path, *, task: Task, label: str, id: str, time: str) -> Holdout:
        """Read `holdout.parquet` (one file, sorted by id)."""
        table = pq.read_table(path)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        taken = {id, time, label}
        return cls(
            ids=columns[id],
            times=columns[time],
            columns={
                name: values for name, values in columns.items() if name not in taken and name[0] != "_"
            },
            spark=Scored(
                task,
                np.asarray(columns[label], dtype=np.float64),
                np.asarray(columns["_prediction"], dtype=np.float64),
                _stacked(columns, "_probability_"),
                columns.get("_rawPrediction"),
            ),
        )

    def __len__(self) -> int:
        return len(self.ids)


def from_graph(task: Task, y: Array, outputs: Mapping[str, npt.NDArray[Any]]) -> Scored:
    """The raw outputs of a package's graph (Scorer.score_columns) as answers."""
    return Scored(
        task, y, outputs["prediction"], _stacked(outputs, "probability_"), outputs.get("rawPrediction")
    )


def aligned(scored: Scored, own: Sequence[Any], wanted: Sequence[Any]) -> Scored:
    """The answers of a classifier with classes `own` in the order of `wanted`.

    A class that the model does not know gets probability 0; an answer that `wanted` does not know becomes -1, which
    is wrong for every row. A raw score is kept where it is that of the same class.
    """
    if list(own) == list(wanted):
        return scored
    place = {value: index for index, value in enumerate(wanted)}
    order = np.array([place.get(value, -1) for value in own], dtype=np.float64)
    known = scored.answered
    prediction = np.full(len(scored), np.nan)
    prediction[known] = order[scored.prediction[known].astype(np.int64)]
    if scored.probabilities is None:
        same = scored.raw is not None and own[1] == wanted[1]
        return replace(scored, prediction=prediction, raw=scored.raw if same else None)
    probabilities = np.zeros((len(scored), len(wanted)))
    for index, value in enumerate(own):
        if value in place:
            probabilities[:, place[value]] = scored.probabilities[:, index]
    return replace(scored, prediction=prediction, probabilities=probabilities)


def _stacked(columns: Mapping[str, npt.NDArray[Any]], prefix: str) -> Array | None:
    names = sorted(
        (name for name in columns if name.startswith(prefix)), key=lambda name: int(name[len(prefix) :])
    )
    if not names:
        return None
    return np.column_stack([np.asarray(columns[name], dtype=np.float64) for name in names])
