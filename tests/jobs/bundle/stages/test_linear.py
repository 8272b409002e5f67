"""Linear models beside Spark, made with chosen coefficients so that ties and thresholds are exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LinearSVC, LinearSVCModel, LogisticRegression, LogisticRegressionModel
from pyspark.ml.common import _py2java
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.linalg import DenseMatrix, DenseVector, SparseMatrix, SparseVector
from pyspark.ml.regression import LinearRegression

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("y", "double")]
ASSEMBLER = {"inputCols": ["x", "y"], "outputCol": "features", "handleInvalid": "keep"}
ROWS = [
    (0.0, 0.0),
    (1.0, 2.0),
    (-3.0, 0.5),
    (700.0, 700.0),
    (-700.0, -800.0),
    (1e-300, 1.0),
    (None, 1.0),
    (1.0, None),
    (float(np.nextafter(0, 1)), 0.0),
    (math.log(4), 0.0),
    (float(np.nextafter(math.log(4), 9)), 0.0),
    (float(np.nextafter(math.log(4), 0)), 0.0),
]


@pytest.fixture
def logistic(spark):
    """A LogisticRegressionModel with given coefficients."""

    def make(matrix, intercepts, multinomial):
        java = spark._jvm.org.apache.spark.ml.classification.LogisticRegressionModel(
            "logistic",
            _py2java(spark.sparkContext, matrix),
            _py2java(spark.sparkContext, DenseVector(intercepts)),
            max(2, len(intercepts)),
            multinomial,
        )
        return LogisticRegressionModel(java)

    return make


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("setThreshold", 0.5),
        ("setThreshold", 0.8),
        ("setThreshold", 0.0),
        ("setThreshold", 1.0),
        ("setThresholds", [0.2, 0.8]),
        ("setThresholds", [0.0, 1.0]),
        ("setThresholds", [1.0, 0.0]),
    ],
)
@pytest.mark.parametrize("raw", ["rawPrediction", ""])
def test_binomial_thresholds(spark, parity, logistic, method, value, raw):
    """Every way to set a threshold, on margins on and beside it, with and without a raw column to decide by."""
    model = logistic(DenseMatrix(1, 2, [1.0, 0.0], True), [0.0], False)
    getattr(model, method)(value)
    model.setRawPredictionCol(raw)
    parity(PipelineModel([VectorAssembler(**ASSEMBLER), model]), FIELDS, ROWS, "binary", 2)


def test_sparse_coefficients_skip_nan(spark, parity, logistic):
    """A sparse model does not look at a feature without a coefficient: NaN there changes nothing."""
    model = logistic(SparseMatrix(1, 2, [0, 1], [0], [1.5], True), [0.25], False)
    scored = parity(PipelineModel([VectorAssembler(**ASSEMBLER), model]), FIELDS, ROWS, "binary", 2)
    assert not np.isnan(scored.outputs["probability_0"][7])


@pytest.mark.parametrize("thresholds", [None, [0.2, 0.5, 0.3], [0.0, 0.5, 0.5]])
@pytest.mark.parametrize("sparse", [True, False])
def test_multinomial(spark, parity, logistic, thresholds, sparse):
    """Softmax and its thresholds: ties go to the first class; NaN as Spark has it; dense and sparse coefficients."""
    dense = DenseMatrix(3, 2, [1.0, 0.5, 0.0, 0.0, -1.0, 2.0], True)
    stored = SparseMatrix(3, 2, [0, 2, 2, 4], [0, 1, 0, 1], [1.0, 0.5, -1.0, 2.0], True)
    model = logistic(stored if sparse else dense, [0.0, 0.0, 0.0], True)
    if thresholds:
        model.setThresholds(thresholds)
    rows = [*ROWS, (math.inf, 1.0), (-math.inf, 1.0)]
    parity(PipelineModel([VectorAssembler(**ASSEMBLER), model]), FIELDS, rows, "multiclass", 3)


@pytest.mark.parametrize("threshold", [0.0, math.log(4), -math.inf, math.inf])
@pytest.mark.parametrize("coefficients", [DenseVector([1.0, 0.0]), SparseVector(2, [0], [1.0])])
def test_linear_svc(spark, parity, threshold, coefficients):
    """Margins on and beside the threshold; the raw score instead of probabilities; NaN beside a sparse model."""
    java = spark._jvm.org.apache.spark.ml.classification.LinearSVCModel(
        "svc", _py2java(spark.sparkContext, coefficients), 0.0
    )
    model = LinearSVCModel(java).setThreshold(threshold)
    scored = parity(PipelineModel([VectorAssembler(**ASSEMBLER), model]), FIELDS, ROWS, "binary", 2)
    assert list(scored.outputs) == ["prediction", "rawPrediction"]


def test_fitted_models(spark, parity, table):
    """Models that Spark fitted itself: lasso (sparse), two classes by the multinomial family, linear regression."""
    rng = np.random.default_rng(3)
    rows = [(float(x), float(y)) for x, y in rng.normal(size=(60, 2))]
    fields = [*FIELDS, Field("label", "double")]
    labelled = [(x, y, float(x + 0.1 * y > 0)) for x, y in rows]
    assembler = VectorAssembler(**ASSEMBLER)
    data = assembler.transform(table(fields, labelled)).cache()
    lasso = LogisticRegression(regParam=0.2, elasticNetParam=1.0, maxIter=10).fit(data)
    family = LogisticRegression(family="multinomial", maxIter=10).fit(data)
    linear = LinearRegression(regParam=0.1, elasticNetParam=0.5, maxIter=10).fit(data)
    svc = LinearSVC(regParam=0.1, maxIter=10).fit(data)
    parity(PipelineModel([assembler, lasso]), FIELDS, rows, "binary", 2)
    parity(PipelineModel([assembler, svc]), FIELDS, [*rows, *ROWS], "binary", 2)
    parity(PipelineModel([assembler, family]), FIELDS, rows, "binary", 2)
    parity(PipelineModel([assembler, linear]), FIELDS, [*rows, *ROWS], "regression")
