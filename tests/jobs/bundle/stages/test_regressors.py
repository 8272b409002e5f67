"""GeneralizedLinearRegressionModel and IsotonicRegressionModel beside Spark."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.common import _py2java
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.ml.linalg import DenseVector
from pyspark.ml.regression import (
    GeneralizedLinearRegression,
    GeneralizedLinearRegressionModel,
    IsotonicRegression,
    LinearRegression,
)

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("y", "double")]
LABELLED = [*FIELDS, Field("label", "double")]


@pytest.fixture
def assembler(spark):
    """All features in one vector; a hole is NaN."""
    return VectorAssembler(inputCols=["x", "y"], outputCol="features", handleInvalid="keep")


def rows(family: str) -> list[tuple[float, ...]]:
    """Labels that the family can have."""
    rng, made = np.random.default_rng(4), []
    for x, y in rng.uniform(0.1, 1.0, size=(80, 2)):
        mean = 0.5 + x + 0.5 * y
        label = {
            "gaussian": mean + rng.normal() / 10,
            "binomial": float(rng.random() < x),
            "poisson": float(rng.poisson(mean)),
            "gamma": mean * rng.gamma(9) / 9,
            "tweedie": mean * rng.gamma(9) / 9,
        }[family]
        made.append((float(x), float(y), float(label)))
    return made


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gaussian", {}), ("gaussian", {"link": "log"}), ("gaussian", {"link": "inverse"}),
        ("binomial", {}), ("binomial", {"link": "cloglog"}), ("binomial", {"link": "probit"}),
        ("poisson", {}), ("poisson", {"link": "identity"}), ("poisson", {"link": "sqrt"}),
        ("gamma", {}), ("gamma", {"link": "identity"}), ("gamma", {"link": "log"}),
        ("tweedie", {"variancePower": 1.6}), ("tweedie", {"variancePower": 1.5, "linkPower": 0.0}),
        ("tweedie", {"variancePower": 0.0, "linkPower": 1.0}), ("tweedie", {"variancePower": 2.0, "linkPower": -1.0}),
    ],
)  # fmt: skip
def test_families_and_links(spark, parity, table, assembler, family, settings):
    """Each family with each of its links, also far outside of what it was fitted on, where the family bounds it."""
    data = assembler.transform(table(LABELLED, rows(family)))
    model = GeneralizedLinearRegression(family=family, maxIter=15, linkPredictionCol="linear", **settings)
    scored = [row[:-1] for row in rows(family)[:20]]
    scored += [(0.0, 0.0), (900.0, 900.0), (-900.0, -900.0), (1e5, 0.0), (None, 1.0)]
    parity(PipelineModel([assembler, model.fit(data)]), FIELDS, scored, "regression")


def test_probit_everywhere(spark, parity):
    """The normal distribution from one tail to the other, on whole numbers and beside them."""
    java = spark._jvm.org.apache.spark.ml.regression.GeneralizedLinearRegressionModel(
        "probit", _py2java(spark.sparkContext, DenseVector([1.0])), 0.0
    )
    model = GeneralizedLinearRegressionModel(java)._set(family="binomial", link="probit")
    model._transfer_params_to_java()
    assembler = VectorAssembler(inputCols=["x"], outputCol="features", handleInvalid="keep")
    whole = [float(n) for n in range(-11, 12)]
    beside = [math.nextafter(n, way) for n in whole for way in (-math.inf, math.inf)]
    values = [
        *whole,
        *beside,
        *np.linspace(-9.5, 9.5, 301).tolist(),
        1e300,
        -1e300,
        math.inf,
        -math.inf,
        None,
    ]
    parity(PipelineModel([assembler, model]), FIELDS[:1], [(value,) for value in values], "regression")


@pytest.mark.parametrize("offset", ["double", "int"])
def test_offset(spark, parity, table, assembler, offset):
    """Added before the link; where it is null the answer is null, and so is what is made of it."""
    fields = [*FIELDS, Field("z", offset)]
    made = [(x, y, n % 3, label) for n, (x, y, label) in enumerate(rows("poisson"))]
    given = [(x, y, int(z) if offset == "int" else float(z), label) for x, y, z, label in made]
    data = assembler.transform(table([*fields, Field("label", "double")], given))
    model = GeneralizedLinearRegression(
        family="poisson", maxIter=5, offsetCol="z", linkPredictionCol="linear"
    )
    after = SQLTransformer(
        statement="SELECT x, coalesce(linear, -1) + coalesce(prediction, -2) AS z FROM __THIS__"
    )
    last = VectorAssembler(inputCols=["x", "z"], outputCol="features")
    scored = [
        *(row[:-1] for row in given[:9]),
        (1.0, 1.0, None),
        (None, 1.0, 2),
        (None, None, None),
        (1.0, 1.0, 900),
    ]
    fitted = model.fit(data)
    parity(PipelineModel([assembler, fitted]), fields, scored, "regression")
    linear = LinearRegression(maxIter=1).setLabelCol("z")
    stages = [assembler, fitted, after, last]
    whole = Pipeline(stages=[*stages, linear]).fit(table([*fields, Field("label", "double")], given))
    parity(whole, fields, scored, "regression")


@pytest.mark.parametrize("isotonic", [True, False])
def test_isotonic(spark, parity, table, assembler, isotonic):
    """On boundaries, beside them, between them, before the first, after the last, and NaN; by a feature's position."""
    made = [(float(n % 7), float(n), n / 3 + math.sin(n)) for n in range(40)]
    data = assembler.transform(table(LABELLED, made))
    fitted = IsotonicRegression(isotonic=isotonic, featureIndex=1).fit(data)
    edges = [float(edge) for edge in fitted.boundaries]
    beside = [math.nextafter(edge, way) for edge in edges for way in (-math.inf, math.inf)]
    scored = [(0.0, y) for y in [*edges, *beside, -9.0, 99.0, 7.3, 12.75, math.inf, -math.inf, None]]
    parity(PipelineModel([assembler, fitted]), FIELDS, scored, "regression")


def test_isotonic_on_a_number(spark, parity, table):
    """Its feature may be a column that is no vector."""
    made = [(0.0, float(n), n / 3 + math.sin(n)) for n in range(40)]
    fitted = IsotonicRegression(featuresCol="y").fit(table(LABELLED, made))
    parity(PipelineModel([fitted]), FIELDS, [(0.0, y) for y in (-1.0, 0.0, 3.5, 40.0)], "regression")
