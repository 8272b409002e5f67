"""Whole pipelines put together at random, each beside Spark."""

from __future__ import annotations

import math
import random

import pytest
from pyspark.ml import Pipeline
from pyspark.ml import classification as c
from pyspark.ml import feature as f
from pyspark.ml import regression as r

from jobs.bundle.convert import Field, check_estimator
from tests.jobs.bundle.drawn import FIELDS, rows

pytestmark = pytest.mark.spark

LABELLED = [*FIELDS, Field("label", "int")]
MADE = [
    "CASE WHEN x > y THEN x - y WHEN n IS NULL THEN -1 ELSE n * 0.5 END",
    "coalesce(x, y, 0) * 2.5 + n",
    "abs(x) / (1 + y * y)",
    "CAST(b AND x > 0 OR n > 3 AS DOUBLE)",
    "CASE WHEN k <> 0 THEN n / k ELSE 0 END",
    "greatest(x, y, n) - least(g, 1)",
    "sin(2 * pi() * n / 24)",
    "if(s = 'a' OR t IN ('u', 'v'), x, -y)",
    "sqrt(x + 9) + ln(y)",
    "n % 4 + k DIV 3",
]
PREDICTORS = [
    (lambda: c.LogisticRegression(maxIter=5, regParam=0.01), 3),
    (lambda: c.LogisticRegression(maxIter=5, regParam=0.1, elasticNetParam=0.7), 2),
    (lambda: c.DecisionTreeClassifier(maxDepth=4, maxBins=40), 3),
    (lambda: c.RandomForestClassifier(numTrees=4, maxDepth=4, maxBins=40, seed=5), 3),
    (lambda: c.GBTClassifier(maxIter=4, maxDepth=3, maxBins=40, seed=5), 2),
    (lambda: r.LinearRegression(maxIter=5, regParam=0.1), None),
    (lambda: r.RandomForestRegressor(numTrees=4, maxDepth=4, maxBins=40, seed=5), None),
    (lambda: r.GBTRegressor(maxIter=4, maxDepth=3, maxBins=40, seed=5), None),
]


def pipeline(rng, predictor):
    """Stages chosen at random, of which some outputs are used and some are not."""
    invalid = [rng.choice(["keep", "keep", "error", "skip"]) for _ in range(4)]
    made = {f"m{n}": text for n, text in enumerate(rng.sample(MADE, 3))}
    stages = [
        f.SQLTransformer(
            statement=f"SELECT *, {', '.join(f'{v} AS {k}' for k, v in made.items())} FROM __THIS__"
        ),
        f.StringIndexer(inputCols=["s", "t"], outputCols=["si", "ti"], handleInvalid=invalid[0]),
        f.StringIndexer(inputCol="n", outputCol="ni", handleInvalid=invalid[1]),
        f.OneHotEncoder(inputCols=["si", "ni"], outputCols=["sv", "nv"], dropLast=rng.random() < 0.5),
        f.Imputer(
            inputCols=["x", "n", "g"], outputCols=["xi", "nn", "gi"], strategy=rng.choice(["mean", "median"])
        ),
        f.Bucketizer(
            inputCols=["xi", "gi"],
            outputCols=["xb", "gb"],
            splitsArray=[[-math.inf, -1.0, 0.0, 1.5, math.inf], [0.0, 0.1, 0.5, 9.0]],
            handleInvalid=rng.choice(["keep", "error"]),
        ),
    ]
    sources = ["ti", "si", "sv", "nv", "xi", "nn", "xb", "gb", "gi", "y", "k", "b", *made]
    names = rng.sample(sources, rng.randrange(5, 11))
    raw = f.VectorAssembler(inputCols=names, outputCol="raw", handleInvalid=invalid[2])
    more = [f.SQLTransformer(statement="SELECT * EXCEPT (si, xb), raw AS again FROM __THIS__")]
    if rng.random() < 0.5:
        scaler = f.StandardScaler(inputCol="again", outputCol="features", withMean=rng.random() < 0.5)
        return Pipeline(stages=[Pipeline(stages=stages), raw, *more, scaler, predictor])
    last = f.VectorAssembler(inputCols=["again"], outputCol="features", handleInvalid=invalid[3])
    return Pipeline(stages=[Pipeline(stages=stages), raw, *more, last, predictor])


@pytest.mark.parametrize("seed", range(len(PREDICTORS)))
def test_random_pipelines(spark, parity, table, seed):
    """Fitted on whole rows, scored on rows with nulls, unseen categories and values beside the splits."""
    rng = random.Random(seed)
    make, classes = PREDICTORS[seed]
    estimator = pipeline(rng, make())
    check_estimator(estimator, FIELDS)
    fitted = estimator.fit(table(LABELLED, rows(rng, 250, 0.0, classes or 3)).cache())
    scored = [row[:-1] for row in rows(rng, 60, 0.05, 2)]
    for beside in (-1.0, 0.0, 1.5, 0.1, 0.5):
        for value in (math.nextafter(beside, -9), beside, math.nextafter(beside, 9)):
            scored.append(("a", "u", value, 1.0, 1, 1, 0.5, True))
    scored += [
        ("unseen", "u", 1.0, 1.0, 1, 1, 0.5, True),
        (*[None] * len(FIELDS),),
        ("a", "v", 1.0, 1.0, 99, 1, 9.5, True),
    ]
    task = "regression" if classes is None else "binary" if classes == 2 else "multiclass"
    parity(fitted, FIELDS, scored, task, classes, alone=4)
