"""OneVsRestModel beside Spark, over each kind of classifier."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyspark.ml import Pipeline
from pyspark.ml import classification as c
from pyspark.ml.feature import VectorAssembler

from jobs.bundle.convert import Field, UnsupportedStage, check_estimator

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("y", "double")]
LABELLED = [*FIELDS, Field("label", "int")]
ROWS = [
    (0.0, 0.0),
    (1.0, 1.0),
    (0.5, 0.25),
    (1e9, -1e9),
    (-1e300, 1e300),
    (math.inf, 0.0),
    (None, 1.0),
    (1.0, None),
]


def pipeline(classifier):
    """A vector with NaN for a hole, and the classifier once a class."""
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="features", handleInvalid="keep")
    return Pipeline(stages=[assembler, c.OneVsRest(classifier=classifier)])


def labelled(classes):
    """Rows of 0 and 1, which a naive Bayes of bits takes too."""
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 2, size=(60, 2)).astype(float).tolist()
    return [(x, y, n % classes if n < classes else int(x + y) % classes) for n, (x, y) in enumerate(rows)]


@pytest.mark.parametrize(
    ("make", "classes"),
    [
        (lambda: c.LinearSVC(maxIter=4), 3),
        (lambda: c.LinearSVC(maxIter=4, threshold=0.5), 2),
        (lambda: c.LogisticRegression(maxIter=4), 2),
        (lambda: c.GBTClassifier(maxIter=2, maxDepth=2, seed=1), 3),
        (lambda: c.RandomForestClassifier(numTrees=3, maxDepth=2, seed=1), 3),
        (lambda: c.NaiveBayes(modelType="bernoulli"), 3),
    ],
)
def test_classifiers(spark, parity, table, make, classes):
    """The class of the highest score, of equal ones the first; none where all are NaN; a refusal of any model is one."""
    classifier = make()
    estimator = pipeline(classifier)
    check_estimator(estimator, FIELDS)
    fitted = estimator.fit(table(LABELLED, labelled(classes)))
    scored = parity(fitted, FIELDS, ROWS, "binary" if classes == 2 else "multiclass", classes)
    assert bool(scored.invalid) == isinstance(classifier, c.NaiveBayes)


def test_its_classifier_is_checked(spark):
    """A classifier without a form is refused by its name, before anything is fitted."""
    with pytest.raises(
        UnsupportedStage,
        match=r"that cannot become a function of the kind onnx: pyspark\.ml\.classification\.FMClassifier;",
    ):
        check_estimator(pipeline(c.FMClassifier()))
