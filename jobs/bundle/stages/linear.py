"""Linear models: coefficients times features plus intercept."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import Frame
from jobs.bundle.graph import Graph
from jobs.bundle.saved import Stage, matrix, number, numbers, vector
from jobs.bundle.stages import classify


def linear_regression(stage: Stage, frame: Frame) -> None:
    """LinearRegressionModel (every loss predicts alike)."""
    features = frame.present_vector(stage.params["featuresCol"], stage.name)
    margin = _margin(stage, frame.graph, features.value)
    classify.finish_regression(stage, frame, frame.graph.pick(margin, 0), features.lineage)


def linear_svc(stage: Stage, frame: Frame) -> None:
    """LinearSVCModel: the second class where the margin is above the threshold; no probabilities."""
    graph = frame.graph
    features = frame.present_vector(stage.params["featuresCol"], stage.name)
    margin = _margin(stage, graph, features.value)
    raw = graph.concat([graph.op("Neg", margin), margin])
    above = graph.op("Greater", graph.pick(margin, 0), graph.constant(number(stage.params["threshold"])))
    prediction = graph.where(above, graph.constant(1.0), graph.constant(0.0))
    classify.finish(stage, frame, prediction, features.lineage, raw, None, 2)


def logistic_regression(stage: Stage, frame: Frame) -> None:
    """LogisticRegressionModel, binomial and multinomial."""
    graph = frame.graph
    features = frame.present_vector(stage.params["featuresCol"], stage.name)
    fitted = stage.row()
    coefficients, present = matrix(fitted["coefficientMatrix"])
    margins = _margins(graph, features.value, coefficients, present, vector(fitted["interceptVector"]))
    if fitted["isMultinomial"]:
        raw = margins
        probability = _softmax(graph, margins)
        prediction = classify.by_class(stage, graph, raw, probability)
    else:
        raw = graph.concat([graph.op("Neg", margins), margins])
        one = graph.constant(1.0)
        # Spark's own order: the first class by the logistic function, the second as its complement.
        first = graph.op("Div", one, graph.op("Add", one, graph.op("Exp", margins)))
        probability = graph.concat([first, graph.op("Sub", one, first)])
        prediction = _above_threshold(stage, graph, raw, probability)
    classify.finish(stage, frame, prediction, features.lineage, raw, probability, int(fitted["numClasses"]))


def _margin(stage: Stage, graph: Graph, features: str) -> str:
    """float64 [N, 1] of a model with one vector of coefficients."""
    fitted = stage.row()
    coefficients = vector(fitted["coefficients"])[np.newaxis]
    present = np.ones_like(coefficients, dtype=bool)
    if fitted["coefficients"]["type"] == 0:
        present = coefficients != 0
    return _margins(graph, features, coefficients, present, np.array([fitted["intercept"]]))


def _margins(
    graph: Graph, features: str, coefficients: np.ndarray, present: np.ndarray, intercepts: np.ndarray
) -> str:
    """float64 [N, K]. A sparse model skips its absent coefficients, so that NaN there does not matter."""
    if present.all():
        product = graph.op("MatMul", features, graph.constant(coefficients.T))
    else:
        product = graph.concat(
            [_dot(graph, features, row, kept) for row, kept in zip(coefficients, present, strict=True)]
        )
    return graph.op("Add", product, graph.constant(intercepts))


def _dot(graph: Graph, features: str, coefficients: np.ndarray, present: np.ndarray) -> str:
    kept = graph.op("Gather", features, graph.constant(np.flatnonzero(present), np.int64), axis=1)
    return graph.op("MatMul", kept, graph.constant(coefficients[present][:, np.newaxis]))


def _softmax(graph: Graph, margins: str) -> str:
    """Spark's softmax. Where a margin is +infinity the first such class gets 1 and the others get 0 times their margin.

    Source: org.apache.spark.ml.impl.Utils.softmax; that product is NaN for an infinite margin, there as here.
    """
    along = graph.constant([1], np.int64)
    zero, one = graph.constant(0.0), graph.constant(1.0)
    infinite = graph.op("IsInf", margins, detect_negative=0)
    counted = graph.op("CumSum", graph.cast(infinite, TensorProto.DOUBLE), graph.constant(1, np.int64))
    first = graph.op("And", infinite, graph.op("Equal", counted, one))
    alone = graph.where(first, one, graph.op("Mul", margins, zero))
    return graph.where(
        graph.op("Greater", graph.op("ReduceMax", counted, along), zero),
        alone,
        classify.softmax(graph, margins),
    )


def _above_threshold(stage: Stage, graph: Graph, raw: str, probability: str) -> str:
    """Binomial models compare the second class with a threshold: its raw score where Spark has one."""
    threshold = number(stage.params["threshold"])
    if stage.params.get("thresholds") is not None:
        first, second = numbers(stage.params["thresholds"])
        threshold = 1.0 / (1.0 + first / second) if second else 0.0
    scores = probability
    if stage.params["rawPredictionCol"]:
        scores = raw
        threshold = (
            -math.inf
            if threshold == 0
            else math.inf
            if threshold == 1
            else math.log(threshold / (1 - threshold))
        )
    above = graph.op("Greater", graph.pick(scores, 1), graph.constant(threshold))
    return graph.where(above, graph.constant(1.0), graph.constant(0.0))
