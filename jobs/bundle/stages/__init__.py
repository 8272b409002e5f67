"""Spark's stages in ONNX: one small function a stage, found by the class that Spark saved."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from jobs.bundle.frame import Frame
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

Convert = Callable[[Stage, Frame], None]

_ML = "org.apache.spark.ml"

TABLE: MappingProxyType[str, Convert] = MappingProxyType(
    {
        f"{_ML}.feature.StringIndexerModel": string_indexer.convert,
        f"{_ML}.feature.OneHotEncoderModel": one_hot.convert,
        f"{_ML}.feature.TargetEncoderModel": target_encoder.convert,
        f"{_ML}.feature.ImputerModel": imputer.convert,
        f"{_ML}.feature.VectorAssembler": vector_assembler.convert,
        f"{_ML}.feature.VectorIndexerModel": vector_indexer.convert,
        f"{_ML}.feature.VectorSlicer": select.slicer,
        f"{_ML}.feature.ChiSqSelectorModel": select.selector,
        f"{_ML}.feature.UnivariateFeatureSelectorModel": select.selector,
        f"{_ML}.feature.VarianceThresholdSelectorModel": select.selector,
        f"{_ML}.feature.StandardScalerModel": scaler.standard,
        f"{_ML}.feature.RobustScalerModel": scaler.robust,
        f"{_ML}.feature.MinMaxScalerModel": scaler.min_max,
        f"{_ML}.feature.MaxAbsScalerModel": scaler.max_abs,
        f"{_ML}.feature.Normalizer": scaler.normalizer,
        f"{_ML}.feature.IDFModel": scaler.idf,
        f"{_ML}.feature.Interaction": interaction.convert,
        f"{_ML}.feature.PCAModel": pca.convert,
        f"{_ML}.feature.Bucketizer": bucketizer.convert,
        f"{_ML}.clustering.KMeansModel": kmeans.convert,
        f"{_ML}.feature.SQLTransformer": sql_transformer.convert,
        f"{_ML}.classification.LogisticRegressionModel": linear.logistic_regression,
        f"{_ML}.classification.LinearSVCModel": linear.linear_svc,
        f"{_ML}.classification.OneVsRestModel": one_vs_rest.convert,
        f"{_ML}.regression.LinearRegressionModel": linear.linear_regression,
        f"{_ML}.classification.NaiveBayesModel": naive_bayes.convert,
        f"{_ML}.classification.MultilayerPerceptronClassificationModel": perceptron.convert,
        f"{_ML}.regression.GeneralizedLinearRegressionModel": glm.convert,
        f"{_ML}.regression.IsotonicRegressionModel": isotonic.convert,
        f"{_ML}.classification.DecisionTreeClassificationModel": trees.decision_tree_classifier,
        f"{_ML}.classification.RandomForestClassificationModel": trees.random_forest_classifier,
        f"{_ML}.classification.GBTClassificationModel": trees.gbt_classifier,
        f"{_ML}.regression.DecisionTreeRegressionModel": trees.decision_tree_regressor,
        f"{_ML}.regression.RandomForestRegressionModel": trees.random_forest_regressor,
        f"{_ML}.regression.GBTRegressionModel": trees.gbt_regressor,
    }
)
