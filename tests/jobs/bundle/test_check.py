"""Pipelines refused before they are fitted."""

from __future__ import annotations

from functools import partial

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml import classification as c
from pyspark.ml import feature as f
from pyspark.ml import regression as r
from pyspark.ml.clustering import KMeans

from jobs.bundle.check import fitted_name
from jobs.bundle.convert import (
    BundleError,
    Field,
    UnsupportedStage,
    check_estimator,
    check_supported,
    supported,
)

INPUTS = [Field("s", "string"), Field("x", "double"), Field("n", "int"), Field("b", "boolean")]


def stages():
    """One of each stage that there is, as a user would chain them."""
    return [
        f.SQLTransformer(statement="SELECT *, n * 2 + x AS made FROM __THIS__"),
        f.StringIndexer(inputCols=["s", "absent"], outputCols=["si", "ai"]),
        f.TargetEncoder(inputCols=["si"], outputCols=["st"]),
        f.OneHotEncoder(inputCol="si", outputCol="sv"),
        f.Imputer(inputCols=["x", "made"], outputCols=["xi", "mi"]),
        f.Bucketizer(inputCol="xi", outputCol="xb", splits=[0.0, 1.0]),
        f.QuantileDiscretizer(inputCol="xi", outputCol="xq"),
        f.VectorAssembler(inputCols=["sv", "xi", "mi", "xb", "b"], outputCol="raw"),
        f.VectorIndexer(inputCol="raw", outputCol="v0"),
        KMeans(featuresCol="v0", predictionCol="cluster"),
        f.RobustScaler(inputCol="v0", outputCol="v1"),
        f.MinMaxScaler(inputCol="v1", outputCol="v2"),
        f.MaxAbsScaler(inputCol="v2", outputCol="v3"),
        f.Normalizer(inputCol="v3", outputCol="v4"),
        f.StandardScaler(inputCol="v4", outputCol="v5"),
        f.VarianceThresholdSelector(featuresCol="v5", outputCol="v6"),
        f.UnivariateFeatureSelector(featuresCol="v6", outputCol="v7"),
        f.ChiSqSelector(featuresCol="v7", outputCol="v8"),
        f.VectorSlicer(inputCol="v8", outputCol="v9", indices=[0]),
        f.IDF(inputCol="v9", outputCol="v10"),
        f.PCA(inputCol="v10", outputCol="features", k=1),
        f.Interaction(inputCols=["si", "xi", "sv"], outputCol="crossed"),
    ]


@pytest.mark.spark
def test_every_supported_stage_passes(spark):
    """All stages, all predictors, pipelines within pipelines, with and without the inputs known."""
    models = [
        c.LogisticRegression, c.DecisionTreeClassifier, c.RandomForestClassifier, c.GBTClassifier, c.NaiveBayes,
        c.MultilayerPerceptronClassifier, r.LinearRegression, r.DecisionTreeRegressor, r.RandomForestRegressor, r.GBTRegressor,
        r.GeneralizedLinearRegression, r.IsotonicRegression, c.LinearSVC, partial(c.OneVsRest, classifier=c.GBTClassifier()),
    ]  # fmt: skip
    predictors = [model() for model in models]
    seen = {type(stage).__name__ for stage in [*stages(), *predictors]}
    assert sorted(seen) == supported()
    for predictor in predictors:
        estimator = Pipeline(stages=[Pipeline(stages=stages()), predictor])
        check_estimator(estimator)
        check_estimator(estimator, INPUTS)
    check_estimator(PipelineModel([f.VectorAssembler(inputCols=["x"], outputCol="features")]), INPUTS)


@pytest.mark.spark
def test_unsupported_stages_are_all_named(spark):
    """Each stage without an ONNX form is named, however deep it is, with those that are supported."""
    estimator = Pipeline(
        stages=[f.DCT(inputCol="a", outputCol="b"), Pipeline(stages=[*stages(), c.FMClassifier()])]
    )
    with pytest.raises(UnsupportedStage) as caught:
        check_estimator(estimator)
    assert "pyspark.ml.feature.DCT, pyspark.ml.classification.FMClassifier; supported are " in str(
        caught.value
    )
    assert ", ".join(supported()) in str(caught.value)


@pytest.mark.spark
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT *, date_trunc('day', x) AS d FROM __THIS__", "the function date_trunc of 2 arguments"),
        ("SELECT * FROM __THIS__ WHERE x > 0", "no WHERE"),
        ("SELECT *, CASE WHEN x > 0 THEN concat(s) ELSE '' END AS t FROM __THIS__", "the function concat"),
        ("SELECT *, CAST(pow(x) AS INT) AS t FROM __THIS__", "the function pow of 1 arguments"),
    ],
)
def test_statements_outside_the_subset(spark, statement, said):
    """A statement is parsed and its functions looked up before anything is fitted."""
    estimator = Pipeline(stages=[f.SQLTransformer(statement=statement), *stages()[1:]])
    with pytest.raises(UnsupportedStage, match=said):
        check_estimator(estimator)


@pytest.mark.spark
def test_with_the_inputs_types_and_columns_are_checked(spark):
    """With the inputs known, a decimal division and a column that no stage gives are found before the fit."""
    decimal = f.SQLTransformer(statement="SELECT *, n / 2.0 AS half FROM __THIS__")
    check_estimator(decimal)
    with pytest.raises(UnsupportedStage, match="decimal division"):
        check_estimator(decimal, INPUTS)
    with pytest.raises(BundleError, match="reads the column 'late'"):
        check_estimator(
            Pipeline(stages=[f.VectorAssembler(inputCols=["x", "late"], outputCol="features")]), INPUTS
        )
    with pytest.raises(BundleError, match="reads the column 'features'"):
        check_estimator(Pipeline(stages=[c.GBTClassifier()]), INPUTS)
    with pytest.raises(BundleError, match="'s' as a number"):
        check_estimator(f.Imputer(inputCol="s", outputCol="si"), INPUTS)
    assembler = f.VectorAssembler(inputCols=["x"], outputCol="features")
    with pytest.raises(BundleError, match="reads the column 'late'"):
        check_estimator(Pipeline(stages=[assembler, r.GeneralizedLinearRegression(offsetCol="late")]), INPUTS)


def test_names():
    """Java's names, Python's, short ones; fitted and not; a namesake in another package is another class."""
    check_supported(
        [
            "org.apache.spark.ml.feature.StringIndexerModel",
            "org.apache.spark.ml.feature.StringIndexer",
            "pyspark.ml.classification.GBTClassifier",
            "VectorAssembler",
        ]
    )
    assert fitted_name("pyspark.ml.classification.GBTClassifier") == "GBTClassificationModel"
    with pytest.raises(UnsupportedStage, match=r"com\.acme\.StringIndexerModel, Word2Vec; supported"):
        check_supported(["com.acme.StringIndexerModel", "Word2Vec", "Imputer"])
