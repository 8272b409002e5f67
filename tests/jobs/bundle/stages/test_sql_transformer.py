"""SQLTransformer within pipelines beside Spark."""

from __future__ import annotations

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import SQLTransformer, StringIndexerModel, VectorAssembler

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("n", "int"), Field("s", "string"), Field("unused", "string")]
ROWS = [
    (1.5, 3, "a", "u"),
    (None, 0, None, "u"),
    (0.0, None, "b", None),
    (-2.0, 4, "c", "u"),
    (8.0, 0, "a", "u"),
]


def test_columns_dropped_renamed_and_made(spark, parity, probe):
    """A statement's columns replace those before it; a text column that it makes can be indexed."""
    statement = """
        SELECT x * 2 AS x, CAST(n AS DOUBLE) AS whole, n > 1 AS many,
               CASE WHEN s = 'a' THEN 'first' WHEN s IS NULL THEN 'none' ELSE s END AS kind
        FROM __THIS__
    """
    fitted = PipelineModel(
        [
            SQLTransformer(statement=statement),
            StringIndexerModel.from_labels(["first", "b", "none"], "kind", "k", "keep"),
            VectorAssembler(inputCols=["x", "whole", "many", "k"], outputCol="f", handleInvalid="keep"),
            SQLTransformer(statement="SELECT f AS features, k FROM __THIS__"),
            probe(4),
        ]
    )
    scored = parity(fitted, FIELDS, ROWS, "regression")
    assert "invalid" not in scored.outputs


def test_a_failure_is_refused_under_the_input_or_the_column(spark, parity, probe):
    """A division by zero names the one input that it rests on, or else the column that was to be made."""
    one = SQLTransformer(statement="SELECT *, 1 / n AS share FROM __THIS__")
    two = SQLTransformer(statement="SELECT *, x / (n - 3) AS ratio FROM __THIS__")
    keep = VectorAssembler(inputCols=["share", "ratio"], outputCol="features", handleInvalid="keep")
    scored = parity(PipelineModel([one, two, keep, probe(2)]), FIELDS, ROWS, "regression")
    assert scored.invalid == ["ratio", "n", "", "", "n"]


def test_constants_are_spread_over_the_rows(spark, parity, probe):
    """A column that no input enters has a value for every row."""
    statement = "SELECT *, 2.5 AS half, 'a' AS letter, CAST(NULL AS DOUBLE) AS nothing FROM __THIS__"
    stages = [
        SQLTransformer(statement=statement),
        StringIndexerModel.from_labels(["b", "a"], "letter", "li", "keep"),
        VectorAssembler(inputCols=["half", "li"], outputCol="features"),
        probe(2),
    ]
    parity(PipelineModel(stages), FIELDS, ROWS, "regression")


def test_unfitted_pipeline(spark, parity, probe, table):
    """A statement is part of a pipeline that Spark fits."""
    stages = [
        SQLTransformer(statement="SELECT *, coalesce(x, 0) + n AS total FROM __THIS__"),
        VectorAssembler(inputCols=["total"], outputCol="features", handleInvalid="skip"),
    ]
    fitted = Pipeline(stages=stages).fit(table(FIELDS, ROWS))
    scored = parity(PipelineModel([fitted, probe(1)]), FIELDS, ROWS, "regression")
    assert scored.invalid == ["", "", "total", "", ""]
