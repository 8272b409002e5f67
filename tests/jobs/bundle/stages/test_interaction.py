"""Interaction beside Spark: numbers, categories and one-hot vectors."""

from __future__ import annotations

import math

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml import feature as f
from pyspark.ml.clustering import KMeans

from jobs.bundle.convert import Field, UnsupportedStage, check_estimator

pytestmark = pytest.mark.spark

FIELDS = [
    Field("s", "string"),
    Field("t", "string"),
    Field("x", "double"),
    Field("n", "int"),
]
LABELLED = [*FIELDS, Field("label", "double")]
FITTED_ON = [
    ("a", "u", 0.5, 2, 1.0), ("b", "v", -1.5, 0, 0.0), ("c", "u", 3.0, 1, 0.0),
    ("a", "v", 9.0, 5, 1.0),
]  # fmt: skip
ROWS = [
    *(row[:-1] for row in FITTED_ON),
    ("b", "u", math.inf, 3),
    ("c", "v", -1e300, -7),
    ("b", "v", 1e-320, 10**9),
    ("unseen", "u", 1.0, 1),
    ("a", None, 1.0, 1),
    ("a", "u", None, 1),
    ("a", "u", 1.0, None),
]


@pytest.fixture
def check(parity, probe, table):
    """Fit stages that make `v`, and compare every entry of it with Spark's."""

    def run(size, *stages):
        estimator = Pipeline(stages=list(stages))
        check_estimator(estimator, FIELDS)
        fitted = estimator.fit(table(LABELLED, FITTED_ON))
        return parity(
            PipelineModel([*fitted.stages, probe(size).setFeaturesCol("v")]), FIELDS, ROWS, "regression"
        )

    return run


@pytest.mark.parametrize("invalid", ["keep", "error", "skip"])
def test_categories_and_one_hot_vectors(spark, check, invalid):
    """Each product in its place, the last input fastest; what a hole meets is refused; infinity times nothing is 0."""
    scored = check(
        (3 + (invalid == "keep")) * (2 - (invalid != "keep")),
        f.StringIndexer(inputCols=["s", "t"], outputCols=["si", "ti"], handleInvalid=invalid),
        f.OneHotEncoder(inputCol="ti", outputCol="tv", dropLast=True),
        f.SQLTransformer(statement="SELECT *, si AS again FROM __THIS__"),
        f.Interaction(inputCols=["again", "x", "n", "tv"], outputCol="v"),
    )
    assert scored.invalid[-2:] == ["x", "n"]


def test_what_spark_names_as_categories(spark, check):
    """Buckets, clusters and target averages are categories, a lone one is a number; what is none of them is refused."""
    check(
        2 * 3 * 3 + 3 + 1,
        f.SQLTransformer(statement="SELECT *, sqrt(x) AS root, 0 AS zero FROM __THIS__"),
        f.Bucketizer(inputCol="root", outputCol="rb", splits=[0.0, 1.0, 2.0, math.inf], handleInvalid="keep"),
        f.StringIndexer(inputCols=["s", "t"], outputCols=["si", "ti"], handleInvalid="keep"),
        f.TargetEncoder(inputCol="si", outputCol="share", labelCol="label", handleInvalid="keep"),
        f.StringIndexer(inputCol="zero", outputCol="zi", handleInvalid="error"),
        f.VectorAssembler(inputCols=["n"], outputCol="nv", handleInvalid="error"),
        KMeans(featuresCol="nv", predictionCol="cluster", k=2, seed=1),
        f.Interaction(inputCols=["cluster", "rb", "ti"], outputCol="v1"),
        f.Interaction(inputCols=["share", "x"], outputCol="v2"),
        f.Interaction(inputCols=["zi", "x"], outputCol="v3"),
        f.VectorAssembler(inputCols=["v1", "v2", "v3"], outputCol="v"),
    )


def test_other_vectors_are_refused(spark, check):
    """Before anything is fitted, with what to give it instead; also where the vector was one-hot once."""
    encoder = [f.StringIndexer(inputCol="s", outputCol="si"), f.OneHotEncoder(inputCol="si", outputCol="sv")]
    for made in (
        f.VectorAssembler(inputCols=["x", "n"], outputCol="other"),
        f.VectorSlicer(inputCol="sv", outputCol="other", indices=[0]),
    ):
        estimator = Pipeline(stages=[*encoder, made, f.Interaction(inputCols=["x", "other"], outputCol="v")])
        with pytest.raises(UnsupportedStage, match=r"the vector 'other'.*how a row is stored"):
            check_estimator(estimator, FIELDS)
