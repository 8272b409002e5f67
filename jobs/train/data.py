"""The splits as training sees them: the label an index, the rows in an order that follows from their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.common.spark import by_id, input_uri

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from jobs.common.job import Work
    from jobs.train.problem import Problem

#: The column of row weights, where the spec asks for balance.
WEIGHT = "_weight"


def load(work: Work, spark: SparkSession, problem: Problem, *splits: str, weighted: bool = True) -> DataFrame:
    """Some splits together. With classes the label is their index (double), with its metadata.

    The metadata gives every fit the same classes, whichever of them its rows hold.
    """
    from pyspark.sql import functions as F

    frame = spark.read.parquet(*[input_uri(work, spark, "features", split) for split in splits])
    if problem.labels is not None:
        metadata = {
            "ml_attr": {"type": "nominal", "name": problem.label, "vals": list(map(str, problem.labels))}
        }
        index = _index(problem)
        columns = [
            index.alias(n, metadata=metadata) if n == problem.label else F.col(n) for n in frame.columns
        ]
        if problem.balance and weighted:
            weights = problem.weights(*splits)
            choices = [F.when(index == float(k), weight) for k, weight in enumerate(weights)]
            columns.append(F.coalesce(*choices).alias(WEIGHT))
        frame = frame.select(*columns)
    rows = sum(problem.rows[split] for split in splits)
    return by_id(frame, problem.id, rows)


def _index(problem: Problem) -> Column:
    from pyspark.sql import functions as F

    assert problem.labels is not None
    label = F.col(problem.label)
    return F.coalesce(*[F.when(label == value, float(k)) for k, value in enumerate(problem.labels)])
