"""Records with Spark's own answers, which a function must give too before it takes traffic (`samples.json`).

Real rows of the holdout, and rows with one thing changed: each feature null in turn, an unseen value in each string.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.train import scoring

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import SparkSession

    from jobs.train.problem import Problem

REAL_ROWS = 50
UNSEEN = "never seen in training"
_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(), "double": pa.float64(), "float": pa.float32(), "int": pa.int32(), "long": pa.int64(),
    "boolean": pa.bool_(),
}  # fmt: skip
_ROW = "_row"

Record = dict[str, Any]
Answer = dict[str, Any]


def make(spark: SparkSession, model: PipelineModel, scored: pa.Table, problem: Problem) -> dict[str, Any]:
    """`records` and Spark's `answers`; `scored` is the holdout with its answers, sorted by id."""
    accepted = scored.filter(scored[scoring.PREDICTION].is_valid())
    step = max(1, accepted.num_rows // REAL_ROWS)
    chosen = accepted.take(list(range(0, accepted.num_rows, step))[:REAL_ROWS])
    names = [field.name for field in problem.fields]
    real = [{name: _plain(row[name]) for name in names} for row in chosen.to_pylist()]
    changed = _perturbed(real, problem)
    answers = [_answer(row, problem) for row in chosen.to_pylist()]
    answers += _answers(spark, model, changed, problem)
    return {"records": real + [record for _, record in changed], "answers": answers}


def _perturbed(real: Sequence[Record], problem: Problem) -> list[tuple[str, Record]]:
    """The column changed and the record, each from another real row that holds a value there."""
    found = []
    for number, field in enumerate(problem.fields):
        for change in (None, UNSEEN) if field.type == "string" else (None,):
            base = real[number % len(real)]
            found.append((field.name, {**base, field.name: change}))
    return found


def _answers(
    spark: SparkSession, model: PipelineModel, changed: Sequence[tuple[str, Record]], problem: Problem
) -> list[Answer]:
    """Spark's answers; all at once, or one at a time where a row makes Spark raise."""
    try:
        scored = _score(spark, model, [record for _, record in changed], problem)
    except scoring.spark_errors():
        scored = {}
        for row, (_, record) in enumerate(changed):
            try:
                one = _score(spark, model, [record], problem)
            except scoring.spark_errors():
                continue
            if 0 in one:
                scored[row] = one[0]
    # A row that raised, or that a stage dropped, is one that the function refuses, for the column that was changed.
    return [scored.get(row, {"invalid": name}) for row, (name, _) in enumerate(changed)]


def _score(
    spark: SparkSession, model: PipelineModel, records: Sequence[Record], problem: Problem
) -> dict[int, Answer]:
    """Answers by the record's position; dropped rows are not there."""
    fields = [(field.name, _ARROW[field.type]) for field in problem.fields]
    columns = {name: pa.array([record[name] for record in records], type_) for name, type_ in fields}
    table = pa.table({_ROW: pa.array(range(len(records)), pa.int64()), **columns})
    classes = None if problem.classes is None else len(problem.classes)
    scored = scoring.score(model, spark.createDataFrame(table), [_ROW], classes)
    return {row[_ROW]: _answer(row, problem) for row in scored.to_pylist()}


def _answer(row: Mapping[str, Any], problem: Problem) -> Answer:
    prediction = _finite(row[scoring.PREDICTION])
    if problem.classes is None:
        return {"prediction": prediction}
    answer: Answer = {"prediction": None if prediction is None else problem.classes[int(prediction)]}
    if f"{scoring.PROBABILITY}0" in row:
        answer["probability"] = {
            str(name): _finite(row[f"{scoring.PROBABILITY}{k}"]) for k, name in enumerate(problem.classes)
        }
    return answer


def _plain(value: Any) -> Any:
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float | None) -> float | None:
    """The number, or None for what JSON cannot say."""
    return value if value is not None and math.isfinite(value) else None
