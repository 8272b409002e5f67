"""Refuses a pipeline that cannot become a function before it is fitted: a search is long, and this takes milliseconds.

pyspark is not imported: stages are known by their class names and asked for their parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from jobs.bundle.errors import BundleError, UnsupportedStage
from jobs.bundle.field import Field
from jobs.bundle.frame import NOTHING, Frame, Number, Vector, edge
from jobs.bundle.graph import Graph
from jobs.bundle.sql import evaluate
from jobs.bundle.sql.parser import parse
from jobs.bundle.stages import interaction
from jobs.bundle.table import names
from penstock.runtimes import Kind

#: What a stage is called before it is fitted, where fitting changes its name.
_ESTIMATORS: MappingProxyType[str, str] = MappingProxyType(
    {
        "StringIndexer": "StringIndexerModel",
        "OneHotEncoder": "OneHotEncoderModel",
        "Imputer": "ImputerModel",
        "QuantileDiscretizer": "Bucketizer",
        "TargetEncoder": "TargetEncoderModel",
        "KMeans": "KMeansModel",
        "VectorIndexer": "VectorIndexerModel",
        "ChiSqSelector": "ChiSqSelectorModel",
        "UnivariateFeatureSelector": "UnivariateFeatureSelectorModel",
        "VarianceThresholdSelector": "VarianceThresholdSelectorModel",
        "StandardScaler": "StandardScalerModel",
        "RobustScaler": "RobustScalerModel",
        "MinMaxScaler": "MinMaxScalerModel",
        "MaxAbsScaler": "MaxAbsScalerModel",
        "PCA": "PCAModel",
        "IDF": "IDFModel",
        "NaiveBayes": "NaiveBayesModel",
        "MultilayerPerceptronClassifier": "MultilayerPerceptronClassificationModel",
        "GeneralizedLinearRegression": "GeneralizedLinearRegressionModel",
        "IsotonicRegression": "IsotonicRegressionModel",
        "LogisticRegression": "LogisticRegressionModel",
        "LinearSVC": "LinearSVCModel",
        "OneVsRest": "OneVsRestModel",
        "LinearRegression": "LinearRegressionModel",
        "DecisionTreeClassifier": "DecisionTreeClassificationModel",
        "RandomForestClassifier": "RandomForestClassificationModel",
        "GBTClassifier": "GBTClassificationModel",
        "DecisionTreeRegressor": "DecisionTreeRegressionModel",
        "RandomForestRegressor": "RandomForestRegressionModel",
        "GBTRegressor": "GBTRegressionModel",
    }
)
_VECTOR_TO_VECTOR = frozenset(
    {
        "StandardScalerModel", "RobustScalerModel", "MinMaxScalerModel", "MaxAbsScalerModel", "IDFModel", "Normalizer",
        "PCAModel", "VectorIndexerModel", "VectorSlicer",
    }
)  # fmt: skip
_PACKAGES = ("org.apache.spark.ml.", "pyspark.ml.")


def supported(kind: Kind = "onnx") -> list[str]:
    """The short names of the stages that can be converted, as estimators where they are fitted, sorted."""
    fitted = names(kind)
    estimators = (name for name, model in _ESTIMATORS.items() if model in fitted)
    return sorted({*estimators, *(name for name in fitted if not name.endswith("Model"))})


def check_supported(class_names: Iterable[str], kind: Kind = "onnx") -> None:
    """Raise UnsupportedStage naming every class that cannot be converted to a bundle of that kind.

    Args:
        class_names: of fitted or unfitted stages: Java's (`org.apache.spark.ml.feature.StringIndexerModel`),
            Python's (`pyspark.ml.feature.StringIndexer`), or short.
    """
    unsupported = [name for name in class_names if fitted_name(name, kind) is None]
    if unsupported:
        raise UnsupportedStage(
            f"the pipeline has stages that cannot become a function of the kind {kind}: {', '.join(unsupported)}; "
            f"supported are {', '.join(supported(kind))}",
            next_step="do this work in features(), or use one of the supported stages",
        )


def fitted_name(class_name: str, kind: Kind = "onnx") -> str | None:
    """The short name that a stage has when it is fitted; None when it cannot be converted."""
    short = class_name.rsplit(".", 1)[-1]
    if short != class_name and not class_name.startswith(_PACKAGES):
        return None
    short = _ESTIMATORS.get(short, short)
    return short if short in names(kind) else None


def check_estimator(estimator: Any, inputs: Sequence[Field] | None = None, kind: Kind = "onnx") -> None:
    """Check an unfitted pyspark estimator, pipelines within pipelines and OneVsRest's classifier too.

    Args:
        estimator: what `estimator(params)` returned: a Pipeline or a single stage.
        inputs: the function's inputs, where they are known: then the columns that the stages read, and the types
            within SQL statements, are checked as well.
        kind: of the bundle that it is to become.

    Raises:
        UnsupportedStage: stages, SQL statements or inputs of a stage that have no form in it; every such stage is named.
        BundleError: a stage reads a column that neither the inputs nor a stage before it give.
    """
    stages = list(_walk(estimator))
    check_supported(
        (_class_name(each) for stage in stages for each in dict.fromkeys((stage, base(stage)))), kind
    )
    for stage in stages:
        if type(stage).__name__ == "SQLTransformer":
            evaluate.check(parse(stage.getStatement()))
    if inputs is not None:
        frame = edge(Graph(), inputs)
        for stage in stages:
            _outline(stage, fitted_name(_class_name(stage)) or "", frame)


def base(stage: Any) -> Any:
    """The classifier that OneVsRest fits a model of for each class; any other stage is its own."""
    several = stage.hasParam("classifier") and stage.isSet("classifier")
    return stage.getOrDefault("classifier") if several else stage


def _walk(stage: Any) -> Iterator[Any]:
    inner = stage.getStages() if hasattr(stage, "getStages") else getattr(stage, "stages", None)
    if not isinstance(inner, list):
        yield stage
        return
    for one in inner:
        yield from _walk(one)


def _class_name(stage: Any) -> str:
    """The nearest class of pyspark.ml that is known, so that a user's subclass of a Spark stage passes."""
    classes = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(stage).__mro__]
    return next((name for name in classes if fitted_name(name) and "." in name), classes[0])


def _outline(stage: Any, kind: str, frame: Frame) -> None:
    """Add the columns that a stage will make, with their types and nothing in them."""
    if kind == "SQLTransformer":
        evaluate.apply(parse(stage.getStatement()), frame)
        return
    number = Number(next(iter(frame.columns.values())).value, "double", None, False, NOTHING)
    vector = Vector(number.value, 1, None, NOTHING)
    if stage.hasParam("predictionCol"):
        features = stage.getOrDefault("featuresCol")
        if kind == "IsotonicRegressionModel":
            frame.numeric(features, kind)
        else:
            frame.present_vector(features, kind)
        if kind == "GeneralizedLinearRegressionModel" and stage.isSet("offsetCol"):
            frame.number(stage.getOrDefault("offsetCol"), kind)
        frame.columns[stage.getOrDefault("predictionCol")] = number
        for output in ("rawPredictionCol", "probabilityCol"):
            if stage.hasParam(output):
                frame.columns[stage.getOrDefault(output)] = vector
        return
    if stage.hasParam("featuresCol"):  # a selector
        frame.present_vector(stage.getOrDefault("featuresCol"), kind)
        frame.columns[stage.getOrDefault("outputCol")] = vector
        return
    read, made = _names(stage, "input"), _names(stage, "output")
    if kind == "VectorAssembler":
        for name in read:
            frame.numeric(name, kind)
        frame.columns[made[0]] = vector
        return
    if kind == "Interaction":
        for name in read:
            interaction.factor(frame, name, kind)
        frame.columns[made[0]] = vector
        return
    for name, output in zip(read, made, strict=False):
        match kind:
            case "StringIndexerModel":
                if name in frame.columns:
                    frame.scalar(name, kind)
                    frame.columns[output] = number
            case "OneHotEncoderModel":
                frame.number(name, kind)
                frame.columns[output] = replace(vector, one_hot=True)
            case _ if kind in _VECTOR_TO_VECTOR:
                frame.present_vector(name, kind)
                frame.columns[output] = vector
            case _:
                column = frame.number(name, kind)
                frame.columns[output] = column if kind == "ImputerModel" else number


def _names(stage: Any, role: str) -> list[str]:
    for name in (f"{role}Cols", f"{role}Col"):
        if stage.hasParam(name) and stage.isSet(name):
            value = stage.getOrDefault(name)
            return [value] if isinstance(value, str) else list(value)
    if role == "output":
        return [stage.getOrDefault("outputCol")]
    raise BundleError(
        f"{type(stage).__name__} {stage.uid} has no input column", next_step="set inputCol or inputCols"
    )
