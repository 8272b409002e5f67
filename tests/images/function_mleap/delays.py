"""A small model whose package both runtimes serve: what it is fitted on, and a record that it takes."""

from __future__ import annotations

from pyspark.ml import Estimator, Pipeline, PipelineModel
from pyspark.ml.feature import Imputer, StringIndexer, VectorAssembler
from pyspark.sql import SparkSession

from jobs.bundle.field import Field

FIELDS = [
    Field("carrier", "string"),
    Field("distance", "double"),
    Field("ratio", "float"),
    Field("seats", "long"),
    Field("month", "int"),
    Field("holiday", "boolean"),
]
ROWS = [
    ("AA", 0.5, 0.25, 2, 3, True, 1),
    ("DL", 1.5, 0.75, 1, 4, False, 0),
    ("AA", -2.5, 0.1, 2, 5, False, 1),
    ("DL", 1.0, 0.5, 9, 1, True, 0),
    ("Zürich ☃", 2.0, 0.3, 4, 7, True, 1),
]
INPUTS = [row[:-1] for row in ROWS]
RIGHT = dict(zip([field.name for field in FIELDS], INPUTS[0], strict=True))


def fit(spark: SparkSession, estimator: Estimator) -> PipelineModel:
    """An indexer that refuses the unseen, one imputed column, the others must be there; then the estimator."""
    schema = "carrier string, distance double, ratio float, seats long, month int, holiday boolean, label int"
    stages = [
        StringIndexer(inputCol="carrier", outputCol="carrier_index", handleInvalid="error"),
        Imputer(inputCol="distance", outputCol="distance_there"),
        VectorAssembler(
            inputCols=["carrier_index", "distance_there", "ratio", "seats", "month", "holiday"],
            outputCol="features",
        ),
        estimator,
    ]
    return Pipeline(stages=stages).fit(spark.createDataFrame(ROWS, schema))
