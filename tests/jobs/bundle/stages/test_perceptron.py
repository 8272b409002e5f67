"""MultilayerPerceptronClassificationModel beside Spark."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.ml.feature import VectorAssembler

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("y", "double")]


@pytest.mark.parametrize(("hidden", "classes"), [([], 2), ([4], 3), ([5, 3], 2)])
def test_layers(spark, parity, table, hidden, classes):
    """None, one and two hidden layers; great values and NaN as Spark has them."""
    rng = np.random.default_rng(2)
    rows = [
        (float(x), float(y), float(int(abs(x) + abs(y)) % classes)) for x, y in rng.normal(size=(60, 2)) * 2
    ]
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="features", handleInvalid="keep")
    data = assembler.transform(table([*FIELDS, Field("label", "double")], rows))
    fitted = MultilayerPerceptronClassifier(layers=[2, *hidden, classes], maxIter=8, seed=1).fit(data)
    scored = [row[:-1] for row in rows] + [(1e6, -1e6), (-1e6, 3.0), (None, 1.0), (0.0, 0.0)]
    task = "binary" if classes == 2 else "multiclass"
    parity(PipelineModel([assembler, fitted]), FIELDS, scored, task, classes)
