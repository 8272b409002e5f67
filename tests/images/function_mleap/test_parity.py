"""Every estimator and stage that MLeap has an op for, served, beside Spark."""

from __future__ import annotations

import math
import random

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml import classification as c
from pyspark.ml import feature as f
from pyspark.ml import regression as r

from jobs.bundle.field import Field
from tests.jobs.bundle import drawn
from tests.jobs.bundle.conftest import frame
from tests.jobs.bundle.drawn import FIELDS

pytestmark = [pytest.mark.maven, pytest.mark.spark]

LABELLED = [*FIELDS, Field("label", "int"), Field("late", "int")]
SPLITS = [-math.inf, -1.0, 0.0, 1.5, math.inf]
PREDICTORS = {
    "logistic regression, two classes": (
        lambda: c.LogisticRegression(labelCol="late", maxIter=8, regParam=0.01),
        2,
    ),
    "logistic regression, two rows": (
        lambda: c.LogisticRegression(labelCol="late", maxIter=8, family="multinomial"),
        2,
    ),
    "logistic regression, three classes": (lambda: c.LogisticRegression(maxIter=8, regParam=0.01), 3),
    "decision tree": (lambda: c.DecisionTreeClassifier(maxDepth=5, maxBins=40), 3),
    "random forest": (lambda: c.RandomForestClassifier(numTrees=5, maxDepth=5, maxBins=40, seed=5), 3),
    "boosted trees": (lambda: c.GBTClassifier(labelCol="late", maxIter=3, maxDepth=4, maxBins=40, seed=5), 2),
    "linear regression": (lambda: r.LinearRegression(maxIter=8, regParam=0.1), None),
    "regression tree": (lambda: r.DecisionTreeRegressor(maxDepth=5, maxBins=40), None),
    "regression forest": (lambda: r.RandomForestRegressor(numTrees=5, maxDepth=5, maxBins=40, seed=5), None),
    "boosted regression": (lambda: r.GBTRegressor(maxIter=3, maxDepth=4, maxBins=40, seed=5), None),
}


def rows(seed, count, holes):
    """Drawn rows with a label of three classes and one of two."""
    return [(*row, min(1, row[-1])) for row in drawn.rows(random.Random(seed), count, holes, 3)]


def scored():
    """Rows to score: whole, with nulls, unseen categories, on the splits and one ulp beside them."""
    made = [row[:-2] for row in [*rows(7, 30, 0.0), *rows(8, 30, 0.1)]]
    made += [
        ("a", "u", math.nextafter(split, side), 1.0, 1, 1, 0.5, True)
        for split in (-1.0, 0.0, 1.5, 0.1, 0.5)
        for side in (-9, split, 9)
    ]
    return [
        *made,
        ("unseen", "u", 1.0, 1.0, 1, 1, 0.5, True),
        ("a", "unseen", 1.0, 1.0, 99, 1, 0.5, None),
        ("a", "v", 1.0, 1.0, 3, 2**53, 3.4e38, False),
        (*[None] * len(FIELDS),),
    ]


@pytest.fixture(scope="module")
def prepared(spark):
    """A stage of every kind, fitted, and at last the features; and the rows that they make of what they were fitted on."""
    stages = [
        f.StringIndexer(inputCols=["s", "t"], outputCols=["si", "ti"], handleInvalid="keep"),
        f.StringIndexer(inputCol="n", outputCol="ni", handleInvalid="keep"),
        f.StringIndexer(inputCol="y", outputCol="yi", handleInvalid="keep"),
        f.StringIndexer(inputCol="g", outputCol="gt", handleInvalid="keep"),
        f.OneHotEncoder(inputCols=["si", "ni"], outputCols=["sv", "nv"]),
        f.Imputer(inputCols=["x", "k", "g"], outputCols=["xi", "ki", "gi"], strategy="mean"),
        f.Bucketizer(inputCol="xi", outputCol="xb", splits=SPLITS),
        f.VectorAssembler(
            inputCols=["sv", "nv", "ti", "yi", "gt", "b", "xi", "ki", "gi", "xb"],
            outputCol="raw",
            handleInvalid="keep",
        ),
        f.StandardScaler(inputCol="raw", outputCol="features", withMean=True),
    ]
    given = frame(spark, LABELLED, rows(1, 250, 0.0))
    fitted = Pipeline(stages=stages).fit(given)
    made = fitted.transform(given).select("features", "label", "late").localCheckpoint()
    return fitted, made


def behind(prepared, estimator):
    """The fitted estimator behind the stages."""
    fitted, made = prepared
    return PipelineModel([*fitted.stages, estimator.fit(made)])


@pytest.mark.parametrize("name", PREDICTORS)
def test_every_estimator(prepared, parity, name):
    """Behind a stage of every kind, on whole rows, nulls, unseen categories, at and beside splits: nothing is refused."""
    make, classes = PREDICTORS[name]
    task = "regression" if classes is None else "binary" if classes == 2 else "multiclass"
    assert parity(behind(prepared, make()), FIELDS, scored(), task, classes) == {}


def assembled(table, *stages, size, probe):
    """Stages fitted on whole rows before a linear model that shows any difference in any feature."""
    fitted = Pipeline(stages=list(stages)).fit(table(LABELLED, rows(1, 100, 0.0)))
    return PipelineModel([*fitted.stages, probe(size)])


SCALERS = {
    "StandardScaler": lambda: f.StandardScaler(withMean=False),
    "StandardScaler of nothing": lambda: f.StandardScaler(withMean=False, withStd=False),
    "RobustScaler": lambda: f.RobustScaler(withCentering=True),
    "MinMaxScaler": lambda: f.MinMaxScaler(min=-1.0, max=3.0),
    "MaxAbsScaler": f.MaxAbsScaler,
}


@pytest.mark.parametrize("name", SCALERS)
def test_scalers(spark, parity, table, probe, name):
    """Beyond what fitting saw, on NaN, and on a feature that never varied."""
    scaler = SCALERS[name]().setInputCol("raw").setOutputCol("features")
    constant = f.Bucketizer(inputCol="y", outputCol="c", splits=[-math.inf, 1e9, math.inf])
    assembler = f.VectorAssembler(inputCols=["x", "c", "k"], outputCol="raw", handleInvalid="keep")
    imputed = f.Imputer(inputCols=["y"], outputCols=["y"])
    fitted = assembled(table, imputed, constant, assembler, scaler, size=3, probe=probe)
    whole = ("a", "u", 1.0, 1.0, 1, 1, 0.5, True)
    far = ("a", "u", 1e6, 2e9, 1, 10**6, 0.5, True)
    assert parity(fitted, FIELDS, [whole, far, *scored()[30:]], "regression") == {}


@pytest.mark.parametrize("invalid", ["error", "skip"])
def test_refusals_name_the_field(spark, parity, table, probe, invalid):
    """Null and the unseen where a stage takes none: each row is refused as Spark would, by its first such field."""
    fitted = assembled(
        table,
        f.StringIndexer(inputCols=["s", "n"], outputCols=["si", "ni"], handleInvalid=invalid),
        f.OneHotEncoder(inputCols=["si"], outputCols=["sv"]),
        f.Bucketizer(inputCol="x", outputCol="xb", splits=[-50.0, 0.0, 50.0], handleInvalid=invalid),
        f.Imputer(inputCols=["k"], outputCols=["ki"]),
        f.VectorAssembler(
            inputCols=["sv", "ni", "xb", "ki", "g", "b"], outputCol="raw", handleInvalid=invalid
        ),
        f.StandardScaler(inputCol="raw", outputCol="features"),
        size=12,
        probe=probe,
    )
    whole = ("a", "u", 1.0, 1.0, 1, 1, 0.5, True)
    wrong = {
        "s": [("unseen", *whole[1:]), (None, *whole[1:])],
        "n": [(*whole[:4], 99, *whole[5:]), (*whole[:4], None, *whole[5:])],
        "x": [(*whole[:2], 99.0, *whole[3:]), (*whole[:2], None, *whole[3:])],
        "g": [(*whole[:6], None, True)],
        "b": [(*whole[:7], None)],
        # Two at once: the stages' order decides.
        "s ": [(None, "u", None, 1.0, None, 1, None, None)],
    }
    taken = [whole, (*whole[:1], None, *whole[2:]), (*whole[:5], None, *whole[6:])]
    given = [row for found in wrong.values() for row in found]
    refused = parity(fitted, FIELDS, [*taken, *given], "regression", alone=len(given))
    assert list(refused.values()) == [name.strip() for name, found in wrong.items() for _ in found]


@pytest.mark.parametrize(
    ("name", "thresholds"),
    [("logistic regression, two classes", [0.9, 0.1]), ("boosted trees", [0.2, 0.8])],
)
def test_thresholds(prepared, parity, name, thresholds):
    """The class is the one whose probability is the greatest share of its threshold."""
    estimator = PREDICTORS[name][0]().setThresholds(thresholds)
    assert parity(behind(prepared, estimator), FIELDS, scored(), "binary", 2) == {}


def test_what_the_answer_does_not_need_refuses_nothing(spark, parity, table, probe):
    """A stage whose output nobody reads is left out of the bundle, unless it drops rows."""
    unread = f.StringIndexer(inputCol="t", outputCol="ti", handleInvalid="error")
    drops = f.StringIndexer(inputCol="s", outputCol="si", handleInvalid="skip")
    assembler = f.VectorAssembler(inputCols=["x"], outputCol="features")
    fitted = assembled(table, unread, drops, assembler, size=1, probe=probe)
    whole = ("a", "u", 1.0, 1.0, 1, 1, 0.5, True)
    given = [whole, ("a", "unseen", *whole[2:]), ("unseen", *whole[1:])]
    assert parity(fitted, FIELDS, given, "regression") == {2: "s"}
