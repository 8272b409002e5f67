"""Spark's stages in both kinds of bundle: two small functions a stage, found by the class that Spark saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from jobs.bundle import frame
from jobs.bundle.mleap import frame as mleap_frame
from jobs.bundle.mleap.stages import bucketizer as mleap_bucketizer
from jobs.bundle.mleap.stages import imputer as mleap_imputer
from jobs.bundle.mleap.stages import linear as mleap_linear
from jobs.bundle.mleap.stages import one_hot as mleap_one_hot
from jobs.bundle.mleap.stages import scaler as mleap_scaler
from jobs.bundle.mleap.stages import string_indexer as mleap_string_indexer
from jobs.bundle.mleap.stages import trees as mleap_trees
from jobs.bundle.mleap.stages import vector_assembler as mleap_vector_assembler
from jobs.bundle.saved import Stage
from jobs.bundle.stages import (
    bucketizer,
    glm,
    imputer,
    interaction,
    isotonic,
    kmeans,
    linear,
    naive_bayes,
    one_hot,
    one_vs_rest,
    pca,
    perceptron,
    scaler,
    select,
    sql_transformer,
    string_indexer,
    target_encoder,
    trees,
    vector_assembler,
    vector_indexer,
)
from penstock.runtimes import Kind


@dataclass(frozen=True)
class Forms:
    """What adds a stage to an ONNX graph, and what adds it to a Bundle.ML; None where MLeap has no op for it."""

    onnx: Callable[[Stage, frame.Frame], None]
    mleap: Callable[[Stage, mleap_frame.Frame], None] | None = None


_ML = "org.apache.spark.ml"

TABLE: MappingProxyType[str, Forms] = MappingProxyType(
    {
        f"{_ML}.feature.StringIndexerModel": Forms(string_indexer.convert, mleap_string_indexer.convert),
        f"{_ML}.feature.OneHotEncoderModel": Forms(one_hot.convert, mleap_one_hot.convert),
        f"{_ML}.feature.TargetEncoderModel": Forms(target_encoder.convert),
        f"{_ML}.feature.ImputerModel": Forms(imputer.convert, mleap_imputer.convert),
        f"{_ML}.feature.VectorAssembler": Forms(vector_assembler.convert, mleap_vector_assembler.convert),
        f"{_ML}.feature.VectorIndexerModel": Forms(vector_indexer.convert),
        f"{_ML}.feature.VectorSlicer": Forms(select.slicer),
        f"{_ML}.feature.ChiSqSelectorModel": Forms(select.selector),
        f"{_ML}.feature.UnivariateFeatureSelectorModel": Forms(select.selector),
        f"{_ML}.feature.VarianceThresholdSelectorModel": Forms(select.selector),
        f"{_ML}.feature.StandardScalerModel": Forms(scaler.standard, mleap_scaler.standard),
        f"{_ML}.feature.RobustScalerModel": Forms(scaler.robust, mleap_scaler.robust),
        f"{_ML}.feature.MinMaxScalerModel": Forms(scaler.min_max, mleap_scaler.min_max),
        f"{_ML}.feature.MaxAbsScalerModel": Forms(scaler.max_abs, mleap_scaler.max_abs),
        f"{_ML}.feature.Normalizer": Forms(scaler.normalizer),
        f"{_ML}.feature.IDFModel": Forms(scaler.idf),
        f"{_ML}.feature.Interaction": Forms(interaction.convert),
        f"{_ML}.feature.PCAModel": Forms(pca.convert),
        f"{_ML}.feature.Bucketizer": Forms(bucketizer.convert, mleap_bucketizer.convert),
        f"{_ML}.clustering.KMeansModel": Forms(kmeans.convert),
        f"{_ML}.feature.SQLTransformer": Forms(sql_transformer.convert),
        f"{_ML}.classification.LogisticRegressionModel": Forms(
            linear.logistic_regression, mleap_linear.logistic_regression
        ),
        f"{_ML}.classification.LinearSVCModel": Forms(linear.linear_svc),
        f"{_ML}.classification.OneVsRestModel": Forms(one_vs_rest.convert),
        f"{_ML}.regression.LinearRegressionModel": Forms(
            linear.linear_regression, mleap_linear.linear_regression
        ),
        f"{_ML}.classification.NaiveBayesModel": Forms(naive_bayes.convert),
        f"{_ML}.classification.MultilayerPerceptronClassificationModel": Forms(perceptron.convert),
        f"{_ML}.regression.GeneralizedLinearRegressionModel": Forms(glm.convert),
        f"{_ML}.regression.IsotonicRegressionModel": Forms(isotonic.convert),
        f"{_ML}.classification.DecisionTreeClassificationModel": Forms(
            trees.decision_tree_classifier, mleap_trees.decision_tree_classifier
        ),
        f"{_ML}.classification.RandomForestClassificationModel": Forms(
            trees.random_forest_classifier, mleap_trees.random_forest_classifier
        ),
        f"{_ML}.classification.GBTClassificationModel": Forms(
            trees.gbt_classifier, mleap_trees.gbt_classifier
        ),
        f"{_ML}.regression.DecisionTreeRegressionModel": Forms(
            trees.decision_tree_regressor, mleap_trees.decision_tree_regressor
        ),
        f"{_ML}.regression.RandomForestRegressionModel": Forms(
            trees.random_forest_regressor, mleap_trees.random_forest_regressor
        ),
        f"{_ML}.regression.GBTRegressionModel": Forms(trees.gbt_regressor, mleap_trees.gbt_regressor),
    }
)


def names(kind: Kind) -> frozenset[str]:
    """The short names of the fitted stages that have a form in a bundle of that kind."""
    return frozenset(
        name.rpartition(".")[2] for name, forms in TABLE.items() if getattr(forms, kind) is not None
    )
