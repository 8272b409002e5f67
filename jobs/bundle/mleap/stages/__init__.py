"""Spark's stages as Bundle.ML nodes: one small function a stage, found by the class that Spark saved."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from jobs.bundle.mleap.frame import Frame
from jobs.bundle.mleap.stages import (
    bucketizer,
    imputer,
    linear,
    one_hot,
    scaler,
    string_indexer,
    trees,
    vector_assembler,
)
from jobs.bundle.saved import Stage

Convert = Callable[[Stage, Frame], None]

_ML = "org.apache.spark.ml"

TABLE: MappingProxyType[str, Convert] = MappingProxyType(
    {
        f"{_ML}.feature.StringIndexerModel": string_indexer.convert,
        f"{_ML}.feature.OneHotEncoderModel": one_hot.convert,
        f"{_ML}.feature.ImputerModel": imputer.convert,
        f"{_ML}.feature.Bucketizer": bucketizer.convert,
        f"{_ML}.feature.VectorAssembler": vector_assembler.convert,
        f"{_ML}.feature.StandardScalerModel": scaler.standard,
        f"{_ML}.feature.RobustScalerModel": scaler.robust,
        f"{_ML}.feature.MinMaxScalerModel": scaler.min_max,
        f"{_ML}.feature.MaxAbsScalerModel": scaler.max_abs,
        f"{_ML}.classification.LogisticRegressionModel": linear.logistic_regression,
        f"{_ML}.regression.LinearRegressionModel": linear.linear_regression,
        f"{_ML}.classification.DecisionTreeClassificationModel": trees.decision_tree_classifier,
        f"{_ML}.classification.RandomForestClassificationModel": trees.random_forest_classifier,
        f"{_ML}.classification.GBTClassificationModel": trees.gbt_classifier,
        f"{_ML}.regression.DecisionTreeRegressionModel": trees.decision_tree_regressor,
        f"{_ML}.regression.RandomForestRegressionModel": trees.random_forest_regressor,
        f"{_ML}.regression.GBTRegressionModel": trees.gbt_regressor,
    }
)
