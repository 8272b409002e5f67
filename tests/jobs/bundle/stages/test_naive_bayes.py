"""NaiveBayesModel beside Spark, each type on the values that it takes."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.classification import NaiveBayes
from pyspark.ml.feature import VectorAssembler

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field(name, "double") for name in "abc"]


def rows(kind: str) -> list[tuple[float, ...]]:
    """Features of three classes as the type takes them."""
    rng, made = np.random.default_rng(11), []
    for number in range(90):
        label = number % 3
        match kind:
            case "bernoulli":
                values = [float(rng.random() < 0.2 + 0.3 * (k == label)) for k in range(3)]
            case "gaussian":
                values = [float(rng.normal(label * k, 1 + k)) for k in range(3)]
            case _:
                values = [float(rng.poisson(1 + 3 * (k == label))) for k in range(3)]
        made.append((*values, float(label)))
    return made


@pytest.mark.parametrize("thresholds", [None, [0.2, 0.5, 0.3]])
@pytest.mark.parametrize("kind", ["multinomial", "complement", "bernoulli", "gaussian"])
def test_each_type(spark, parity, table, kind, thresholds):
    """Scores, probabilities and the class; bernoulli refuses what is neither 0 nor 1."""
    assembler = VectorAssembler(inputCols=list("abc"), outputCol="features")
    data = assembler.transform(table([*FIELDS, Field("label", "double")], rows(kind)))
    fitted = NaiveBayes(modelType=kind, smoothing=0.7).fit(data)
    if thresholds:
        fitted.setThresholds(thresholds)
    scored = [row[:-1] for row in rows(kind)[:20]] + [(0.0, 0.0, 0.0), (3.0, 1.0, 1.0), (40.0, 0.0, 2.0)]
    made = parity(PipelineModel([assembler, fitted]), FIELDS, scored, "multiclass", 3)
    assert [bool(name) for name in made.invalid[-2:]] == (
        [True, True] if kind == "bernoulli" else [False, False]
    )
