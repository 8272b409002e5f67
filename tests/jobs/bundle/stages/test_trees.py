"""Trees beside Spark: on and one ulp beside every threshold, on every category, and on what no tree has seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyspark.ml import Pipeline
from pyspark.ml import classification as c
from pyspark.ml import regression as r
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler

from jobs.bundle import saved
from jobs.bundle.convert import Field
from jobs.bundle.stages import forest

pytestmark = pytest.mark.spark

FIELDS = [Field("s", "string"), Field("t", "string"), Field("x", "double"), Field("y", "double")]
LABELLED = [*FIELDS, Field("label", "int")]


def training_rows(n, categories, classes, seed=0):
    rng = np.random.default_rng(seed)
    effect = rng.normal(size=categories)
    rows = []
    for _ in range(n):
        s, t = int(rng.integers(categories)), int(rng.integers(3))
        x, y = rng.normal(), float(rng.integers(-3, 4)) / 10
        score = effect[s] + x * (t - 1) + y + rng.normal() * 0.3
        rows.append(
            (f"s{s}", f"t{t}", float(x), y, int(np.clip(math.floor(score + classes / 2), 0, classes - 1)))
        )
    return rows


def preprocessing():
    return [
        StringIndexer(inputCols=["s", "t"], outputCols=["si", "ti"], handleInvalid="keep"),
        OneHotEncoder(inputCols=["ti"], outputCols=["tv"]),
        VectorAssembler(inputCols=["si", "tv", "x", "y"], outputCol="features", handleInvalid="keep"),
    ]


def rows_at_splits(model, folder, categories, most=120):
    """Rows on and one ulp beside the model's thresholds, and of every category, seen or not."""
    model.write().save(str(folder))
    (stage,) = saved.read(folder)
    read = forest.read_one if "DecisionTree" in stage.name else forest.read
    trees = read(stage)
    inner = np.flatnonzero(~trees.leaf & (trees.categories < 0))
    thresholds = sorted({trees.splits[node][0] for node in inner})[:most]
    rng = np.random.default_rng(1)
    names = [f"s{n}" for n in range(categories)] + ["unseen", None]
    values = [v for t in thresholds for v in (np.nextafter(t, -np.inf), t, np.nextafter(t, np.inf))]
    rows = []
    for value in [*values, None, math.inf, -math.inf]:
        other = float(rng.choice(values)) if values else 0.0
        value = value if value is None else float(value)
        for x, y in ((value, other), (other, value)):
            rows.append((str(rng.choice(names[:-1])), f"t{rng.integers(4)}", x, y))
    rows += [(name, t, 0.3, -0.1) for name in names for t in ("t0", "t1", None)]
    return rows


ESTIMATORS = {
    "tree": (lambda: c.DecisionTreeClassifier(maxDepth=6, maxBins=128), "multiclass", 3),
    "forest": (
        lambda: c.RandomForestClassifier(numTrees=6, maxDepth=5, maxBins=128, seed=1),
        "multiclass",
        3,
    ),
    "boosted": (lambda: c.GBTClassifier(maxIter=5, maxDepth=4, maxBins=128, seed=1), "binary", 2),
    "tree of numbers": (lambda: r.DecisionTreeRegressor(maxDepth=6, maxBins=128), "regression", None),
    "forest of numbers": (
        lambda: r.RandomForestRegressor(numTrees=6, maxBins=128, seed=1),
        "regression",
        None,
    ),
    "boosted numbers": (
        lambda: r.GBTRegressor(maxIter=5, maxDepth=4, maxBins=128, seed=1),
        "regression",
        None,
    ),
}


@pytest.mark.parametrize("categories", [7, 90])
@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_trees(spark, parity, table, tmp_path, name, categories):
    """All six models over a categorical, a one-hot and two continuous features, some with dozens of categories."""
    make, task, classes = ESTIMATORS[name]
    data = table(LABELLED, training_rows(500, categories, classes or 3)).cache()
    fitted = Pipeline(stages=[*preprocessing(), make()]).fit(data)
    rows = rows_at_splits(fitted.stages[-1], tmp_path / "alone", categories)
    assert len(rows) > 60
    parity(fitted, FIELDS, rows, task, classes)


def test_categorical_splits_are_there(spark, table, tmp_path):
    """The trees above do hold member tests, of both kinds: the smaller side is the left one, and the right one."""
    data = table(LABELLED, training_rows(500, 90, 3)).cache()
    fitted = Pipeline(stages=[*preprocessing(), ESTIMATORS["boosted numbers"][0]()]).fit(data)
    fitted.stages[-1].write().save(str(tmp_path / "alone"))
    (stage,) = saved.read(tmp_path / "alone")
    trees = forest.read(stage)
    sides = {
        len(trees.splits[node]) <= trees.categories[node] // 2
        for node in np.flatnonzero(~trees.leaf & (trees.categories > 2))
    }
    assert sides == {True, False}


@pytest.mark.parametrize("thresholds", [[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
@pytest.mark.parametrize("name", ["tree", "forest"])
def test_thresholds(spark, parity, table, tmp_path, name, thresholds):
    """A classifier's thresholds decide as in Spark, a threshold of 0 over a probability of 0 among them."""
    data = table(LABELLED, training_rows(300, 7, 3)).cache()
    fitted = Pipeline(stages=[*preprocessing(), ESTIMATORS[name][0]()]).fit(data)
    rows = rows_at_splits(fitted.stages[-1], tmp_path / "alone", 7, most=20)
    fitted.stages[-1].setThresholds(thresholds)
    parity(fitted, FIELDS, rows, "multiclass", 3)


def test_lone_leaves(spark, parity, table):
    """A tree that is a lone leaf answers right: alone, in a forest, and beside trees that do split."""
    plain = [("s0", "t0", float(x), 0.0, int(x > 4)) for x in range(10)]
    data = table(LABELLED, plain).cache()
    rows = [(*row[:2], row[2] + shift, 0.0) for row in plain for shift in (0, 0.5)]
    rows += [("unseen", None, None, 1.0)]
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="features", handleInvalid="keep")
    for estimator, task, classes in (
        (c.DecisionTreeClassifier(maxDepth=0), "binary", 2),
        (c.RandomForestClassifier(maxDepth=0, numTrees=3), "binary", 2),
        (r.DecisionTreeRegressor(maxDepth=0), "regression", None),
        (r.GBTRegressor(maxIter=3, maxDepth=2), "regression", None),
    ):
        fitted = Pipeline(stages=[assembler, estimator]).fit(data)
        parity(fitted, FIELDS, rows, task, classes)
    # The last one's first tree is perfect, so the others are lone leaves.
    assert sorted(tree.depth for tree in fitted.stages[-1].trees)[:2] == [0, 0]
    assert max(tree.depth for tree in fitted.stages[-1].trees) == 1
