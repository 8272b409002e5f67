"""Decision trees, random forests and gradient-boosted trees, on `ai.onnx.ml` TreeEnsemble (opset 5) in float64.

TreeEnsemble gives a leaf one number. That is all a regression tree has; for a classification tree it is the number of
the leaf, by which the leaf's class scores are looked up.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import Frame, Vector
from jobs.bundle.graph import Graph
from jobs.bundle.saved import Stage
from jobs.bundle.stages import classify
from jobs.bundle.stages.forest import Forest, ensemble, read, read_one


def decision_tree_regressor(stage: Stage, frame: Frame) -> None:
    """DecisionTreeRegressionModel."""
    features, forest = _features(stage, frame), read_one(stage)
    prediction = ensemble(frame.graph, features.value, forest, forest.leaf_predictions())
    classify.finish_regression(stage, frame, frame.graph.pick(prediction, 0), features.lineage)


def random_forest_regressor(stage: Stage, frame: Frame) -> None:
    """RandomForestRegressionModel: the mean of the trees."""
    graph, features, forest = frame.graph, _features(stage, frame), read(stage)
    total = graph.pick(ensemble(graph, features.value, forest, forest.leaf_predictions()), 0)
    mean = graph.op("Div", total, graph.constant(float(forest.trees)))
    classify.finish_regression(stage, frame, mean, features.lineage)


def gbt_regressor(stage: Stage, frame: Frame) -> None:
    """GBTRegressionModel: the weighted sum of the trees."""
    features = _features(stage, frame)
    classify.finish_regression(stage, frame, _boosted(stage, frame.graph, features), features.lineage)


def gbt_classifier(stage: Stage, frame: Frame) -> None:
    """GBTClassificationModel: the weighted sum is half the log-odds of the second class."""
    graph, features = frame.graph, _features(stage, frame)
    margin = graph.column(_boosted(stage, graph, features))
    raw = graph.concat([graph.op("Neg", margin), margin])
    one = graph.constant(1.0)
    odds = graph.op("Exp", graph.op("Mul", graph.constant(2.0), margin))
    first = graph.op("Div", one, graph.op("Add", one, odds))
    probability = graph.concat([first, graph.op("Sub", one, first)])
    prediction = classify.by_class(stage, graph, raw, probability)
    classify.finish(stage, frame, prediction, features.lineage, raw, probability, 2)


def decision_tree_classifier(stage: Stage, frame: Frame) -> None:
    """DecisionTreeClassificationModel: the raw score is the leaf's (weighted) count of each class."""
    graph, features, forest = frame.graph, _features(stage, frame), read_one(stage)
    scores = forest.leaf_stats()
    raw = graph.pick(_looked_up(graph, features, forest, scores), 0)
    _finish(stage, frame, features, raw, scores.shape[1])


def random_forest_classifier(stage: Stage, frame: Frame) -> None:
    """RandomForestClassificationModel: the raw score is the sum of the trees' class probabilities."""
    graph, features, forest = frame.graph, _features(stage, frame), read(stage)
    stats = forest.leaf_stats()
    total = np.cumsum(stats, axis=1)[:, -1:]  # one after another as Spark adds, not pairwise
    scores = np.divide(stats, total, out=np.zeros_like(stats), where=total != 0)
    votes = _looked_up(graph, features, forest, scores)
    # A running sum adds tree after tree as Spark does; ReduceSum has another order, which can break a tie.
    raw = graph.pick(graph.op("CumSum", votes, graph.constant(1, np.int64)), -1)
    _finish(stage, frame, features, raw, stats.shape[1])


def _features(stage: Stage, frame: Frame) -> Vector:
    return frame.present_vector(stage.params["featuresCol"], stage.name)


def _boosted(stage: Stage, graph: Graph, features: Vector) -> str:
    forest = read(stage)
    weighted = forest.leaf_predictions() * forest.weights[forest.leaf_trees()]
    return graph.pick(ensemble(graph, features.value, forest, weighted), 0)


def _looked_up(graph: Graph, features: Vector, forest: Forest, scores: np.ndarray) -> str:
    """The scores [leaves, K] of the leaf that each tree reaches, float64 [N, trees, K]."""
    leaves = ensemble(graph, features.value, forest, np.arange(len(scores), dtype=np.float64), apart=True)
    return graph.op("Gather", graph.constant(scores), graph.cast(leaves, TensorProto.INT64), axis=0)


def _finish(stage: Stage, frame: Frame, features: Vector, raw: str, classes: int) -> None:
    graph = frame.graph
    total = graph.op("ReduceSum", raw, graph.constant([1], np.int64))
    empty = graph.op("Equal", total, graph.constant(0.0))
    probability = graph.where(empty, raw, graph.op("Div", raw, total))
    prediction = classify.by_class(stage, graph, raw, probability)
    classify.finish(stage, frame, prediction, features.lineage, raw, probability, classes)
