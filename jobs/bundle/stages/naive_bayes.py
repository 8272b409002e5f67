"""NaiveBayesModel of all four types.

Source: org.apache.spark.ml.classification.NaiveBayesModel (multinomialCalculation and its neighbours). Bernoulli's
takes nothing but 0 and 1: another value refuses the row.
"""

from __future__ import annotations

import numpy as np

from jobs.bundle.frame import Frame, Lineage, Vector
from jobs.bundle.graph import Graph
from jobs.bundle.saved import Stage, matrix, vector
from jobs.bundle.stages import classify


def convert(stage: Stage, frame: Frame) -> None:
    """Add the classifier's columns."""
    graph = frame.graph
    features = frame.present_vector(stage.params["featuresCol"], stage.name)
    fitted = stage.row()
    priors, (theta, _) = vector(fitted["pi"]), matrix(fitted["theta"])
    lineage = features.lineage
    match stage.params["modelType"]:
        case "multinomial":
            raw = _affine(graph, features.value, theta, priors)
        case "complement":
            raw = _complement(graph, features.value, theta)
        case "bernoulli":
            absent = np.log1p(-np.exp(theta))
            raw = _affine(graph, features.value, theta - absent, priors + absent.sum(axis=1))
            lineage = _only_bits(stage, frame, features)
        case _:
            variances, _ = matrix(fitted["sigma"])
            raw = _gaussian(graph, features.value, theta, variances, priors)
    probability = classify.softmax(graph, raw)
    prediction = classify.by_class(stage, graph, raw, probability)
    classify.finish(stage, frame, prediction, lineage, raw, probability, len(priors))


def _affine(graph: Graph, features: str, weights: np.ndarray, bias: np.ndarray) -> str:
    return graph.op("Add", graph.op("MatMul", features, graph.constant(weights.T)), graph.constant(bias))


def _complement(graph: Graph, features: str, theta: np.ndarray) -> str:
    """Log-probabilities already: less the logarithm of the sum of their exponentials."""
    scores = graph.op("MatMul", features, graph.constant(theta.T))
    along = graph.constant([1], np.int64)
    most = graph.op("ReduceMax", scores, along)
    total = graph.op("ReduceSum", graph.op("Exp", graph.op("Sub", scores, most)), along)
    return graph.op("Sub", scores, graph.op("Add", most, graph.op("Log", total)))


def _gaussian(
    graph: Graph, features: str, means: np.ndarray, variances: np.ndarray, priors: np.ndarray
) -> str:
    apart = graph.op(
        "Sub", graph.op("Unsqueeze", features, graph.constant([1], np.int64)), graph.constant(means)
    )
    squares = graph.op("Div", graph.op("Mul", apart, apart), graph.constant(variances))
    distance = graph.op("ReduceSum", squares, graph.constant([2], np.int64), keepdims=0)
    halves = graph.op("Mul", distance, graph.constant(-0.5))
    return graph.op("Add", halves, graph.constant(priors - np.log(variances).sum(axis=1) / 2))


def _only_bits(stage: Stage, frame: Frame, features: Vector) -> Lineage:
    graph = frame.graph
    bits = graph.op(
        "Or",
        graph.op("Equal", features.value, graph.constant(0.0)),
        graph.op("Equal", features.value, graph.constant(1.0)),
    )
    refused = [(stage.params["featuresCol"], features)] * features.size
    return features.lineage.refused(frame.refuse_any(refused, graph.op("Not", bits), drops=False))
