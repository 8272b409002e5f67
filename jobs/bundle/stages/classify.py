"""From a classifier's raw scores and probabilities to its prediction, as Spark decides it.

Source: org.apache.spark.ml.classification.ProbabilisticClassificationModel (raw2prediction, probability2prediction).
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import Frame, Lineage, Number, Scores, Vector
from jobs.bundle.graph import Graph
from jobs.bundle.saved import Stage, numbers


def softmax(graph: Graph, scores: str) -> str:
    """float64 [N, K]: each row's exponentials, which sum to 1; the greatest is taken off first, so that none is infinite."""
    along = graph.constant([1], np.int64)
    shifted = graph.op("Exp", graph.op("Sub", scores, graph.op("ReduceMax", scores, along)))
    return graph.op("Div", shifted, graph.op("ReduceSum", shifted, along))


def by_class(stage: Stage, graph: Graph, raw: str, probability: str) -> str:
    """The predicted class float64 [N] from raw and probability float64 [N, K]."""
    if stage.params.get("thresholds") is not None:
        thresholds = np.array(numbers(stage.params["thresholds"]))
        # 0 / 0 is NaN on purpose: a class of threshold 0 and probability 0 is not chosen.
        return first_greatest(graph, graph.op("Div", probability, graph.constant(thresholds)))
    scores = raw if stage.params["rawPredictionCol"] or not stage.params["probabilityCol"] else probability
    first = graph.pick(scores, 0)
    # Vector.argmax starts with the first score and NaN compares with nothing: a NaN there stays the greatest.
    return graph.where(graph.op("IsNaN", first), graph.constant(0.0), first_greatest(graph, scores))


def first_greatest(graph: Graph, scores: str) -> str:
    """The position of the greatest of the scores float64 [N, K], float64 [N]; of equal ones the first, NaN the least."""
    comparable = graph.where(graph.op("IsNaN", scores), graph.constant(-np.inf), scores)
    return graph.cast(graph.op("ArgMax", comparable, axis=1, keepdims=0), TensorProto.DOUBLE)


def finish(
    stage: Stage,
    frame: Frame,
    prediction: str,
    lineage: Lineage,
    raw: str,
    probability: str | None,
    classes: int,
) -> None:
    """Add a classifier's columns and make it the pipeline's answer."""
    frame.scores = Scores(prediction, raw, probability, classes, lineage)
    _add(
        frame,
        stage.params["predictionCol"],
        Number(prediction, "double", None, True, lineage, categories=classes),
    )
    _add(frame, stage.params["rawPredictionCol"], Vector(raw, classes, None, lineage))
    if probability is not None:
        _add(frame, stage.params["probabilityCol"], Vector(probability, classes, None, lineage))


def finish_regression(
    stage: Stage, frame: Frame, prediction: str, lineage: Lineage, null: str | None = None
) -> None:
    """Add a regressor's column and make it the pipeline's answer; `null` bool [N] is where it is null."""
    frame.scores = Scores(prediction, None, None, None, lineage)
    _add(frame, stage.params["predictionCol"], Number(prediction, "double", null, True, lineage))


def _add(frame: Frame, name: str, column: Number | Vector) -> None:
    if name:  # Spark leaves out a column whose name is empty
        frame.columns[name] = column
