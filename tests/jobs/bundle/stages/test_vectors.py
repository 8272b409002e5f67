"""What makes one vector of another, beside Spark: selectors, PCA, VectorIndexer; and QuantileDiscretizer's buckets."""

from __future__ import annotations

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml import feature as f
from pyspark.ml.clustering import KMeans

from jobs.bundle.convert import Field, UnsupportedStage

pytestmark = pytest.mark.spark

FIELDS = [Field(name, "double") for name in "abcd"]
LABELLED = [*FIELDS, Field("label", "double")]


@pytest.fixture
def assembler(spark):
    """All features in one vector; a hole is NaN."""
    return f.VectorAssembler(inputCols=list("abcd"), outputCol="raw", handleInvalid="keep")


def rows(count: int = 80) -> list[tuple[float, ...]]:
    """Four features, one of them nearly constant, and a label that two of them make."""
    rng = np.random.default_rng(5)
    made = []
    for _ in range(count):
        a, b, c = float(rng.integers(0, 3)), float(rng.normal()), float(rng.integers(-1, 4))
        made.append((a, b, c, 1.0 + 1e-6 * float(rng.normal()), float(a + c > 2)))
    return made


SCORED = [row[:-1] for row in rows()[:20]] + [(None, 1.0, 1.0, 1.0), (-0.0, 1e9, 3.0, -1.0)]


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: f.VectorSlicer(inputCol="raw", outputCol="features", indices=[3, 0]), 2),
        (
            lambda: f.ChiSqSelector(
                featuresCol="raw", outputCol="features", labelCol="label", numTopFeatures=2
            ),
            2,
        ),
        (
            lambda: f.VarianceThresholdSelector(
                featuresCol="raw", outputCol="features", varianceThreshold=0.1
            ),
            3,
        ),
        (
            lambda: (
                f.UnivariateFeatureSelector(featuresCol="raw", outputCol="features", labelCol="label")
                .setFeatureType("continuous")
                .setLabelType("categorical")
                .setSelectionThreshold(2)
            ),
            2,
        ),
    ],
    ids=["slicer", "chi", "variance", "univariate"],
)
def test_selected_features(spark, parity, probe, table, assembler, make, size):
    """The same features in the same order; NaN among them passes."""
    stage, data = make(), assembler.transform(table(LABELLED, rows()))
    if isinstance(stage, f.ChiSqSelector):  # takes no value that is not a category
        data = data.drop("raw")
        whole = f.VectorAssembler(inputCols=["a", "c", "a", "c"], outputCol="raw")
        fitted = stage.fit(whole.transform(data))
    else:
        fitted = stage.fit(data) if hasattr(stage, "fit") else stage
    parity(PipelineModel([assembler, fitted, probe(size)]), FIELDS, SCORED, "regression")


def test_slices_by_name_are_refused(spark, parity, probe, assembler):
    """A saved pipeline does not hold the names of a vector's features."""
    slicer = f.VectorSlicer(inputCol="raw", outputCol="features", names=["a"])
    with pytest.raises(UnsupportedStage, match="by the names"):
        parity(PipelineModel([assembler, slicer, probe(1)]), FIELDS, SCORED, "regression")


@pytest.mark.parametrize("least", [0, 79])
def test_idf(spark, parity, probe, table, assembler, least):
    """Weights of frequent features; a feature that too few rows have gets 0."""
    data = assembler.transform(table(LABELLED, rows()))
    fitted = f.IDF(inputCol="raw", outputCol="features", minDocFreq=least).fit(data)
    parity(PipelineModel([assembler, fitted, probe(4)]), FIELDS, SCORED, "regression")


def test_pca(spark, parity, probe, table, assembler):
    """The components times the vector."""
    fitted = f.PCA(inputCol="raw", outputCol="features", k=3).fit(
        assembler.transform(table(LABELLED, rows()))
    )
    parity(PipelineModel([assembler, fitted, probe(3)]), FIELDS, SCORED, "regression")


@pytest.mark.parametrize("invalid", ["keep", "error", "skip"])
def test_vector_indexer(spark, parity, probe, table, assembler, invalid):
    """Few values become indices (0 is always the first), many pass; an unseen one is kept, refused or dropped."""
    indexer = f.VectorIndexer(inputCol="raw", outputCol="features", maxCategories=6, handleInvalid=invalid)
    fitted = indexer.fit(assembler.transform(table(LABELLED, rows())))
    scored = parity(
        PipelineModel([assembler, fitted, probe(4)]), FIELDS, [*SCORED, (7.0, 0.0, 9.0, 1.0)], "regression"
    )
    assert [bool(name) for name in scored.invalid[-3:]] == ([] if invalid == "keep" else [True, False, True])


def test_vector_indexer_without_categories(spark, parity, probe, table, assembler):
    """All features pass where each has many values."""
    data = table(LABELLED, [(b, b, b, b, label) for _, b, _, _, label in rows()])
    fitted = f.VectorIndexer(inputCol="raw", outputCol="features", maxCategories=2).fit(
        assembler.transform(data)
    )
    parity(PipelineModel([assembler, fitted, probe(4)]), FIELDS, SCORED, "regression")


@pytest.mark.parametrize("measure", ["euclidean", "cosine"])
def test_kmeans(spark, parity, probe, table, assembler, measure):
    """The nearest centre's number feeds the stages after it; where nothing is nearest, as Spark has it."""
    model = KMeans(k=4, seed=3, featuresCol="raw", predictionCol="cluster", distanceMeasure=measure)
    fitted = model.fit(assembler.transform(table(LABELLED, rows())))
    hot = f.OneHotEncoder(inputCol="cluster", outputCol="hot").fit(
        fitted.transform(assembler.transform(table(LABELLED, rows())))
    )
    last = f.VectorAssembler(inputCols=["hot", "raw"], outputCol="features", handleInvalid="keep")
    scored = [*SCORED, (0.0, 0.0, 0.0, 0.0), (1e8, -1e8, 3.0, 1.0)]
    parity(PipelineModel([assembler, fitted, hot, last, probe(7)]), FIELDS, scored, "regression")


def test_quantile_discretizer(spark, parity, probe, table, assembler):
    """It is fitted to a Bucketizer."""
    fitted = f.QuantileDiscretizer(inputCol="b", outputCol="raw", numBuckets=4, handleInvalid="keep").fit(
        table(LABELLED, rows())
    )
    assembler = f.VectorAssembler(inputCols=["raw", "a"], outputCol="features", handleInvalid="keep")
    parity(PipelineModel([fitted, assembler, probe(2)]), FIELDS, SCORED, "regression")
