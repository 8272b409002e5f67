"""OneVsRestModel: a model a class, which tells it from all others; the class whose model scores highest is the answer.

Source: pyspark.ml.classification.OneVsRestModel. There are no probabilities: a raw score is that which a class's own
model gives to "it is this class". Where none of them is a number above -infinity, Spark answers -1, which is no class;
here that is NaN.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import Frame, Lineage, Vector
from jobs.bundle.saved import Stage
from jobs.bundle.stages import classify


def convert(stage: Stage, frame: Frame) -> None:
    """Add the classifier's columns."""
    from jobs.bundle.table import TABLE  # which holds this very function

    graph, scores, lineage = frame.graph, [], Lineage()
    for model in stage.models():
        own = Frame(graph, dict(frame.columns), frame.refusals)
        TABLE[model.class_name].onnx(model, own)
        raw = own.columns[model.params["rawPredictionCol"]]
        assert isinstance(raw, Vector)
        scores.append(graph.column(graph.pick(raw.value, 1)))
        lineage |= raw.lineage
    every = graph.concat(scores)
    told = graph.cast(graph.op("Greater", every, graph.constant(-np.inf)), TensorProto.UINT8)
    some = graph.op("ReduceMax", told, graph.constant([1], np.int64), keepdims=0)
    best = classify.first_greatest(graph, every)
    prediction = graph.where(graph.cast(some, TensorProto.BOOL), best, graph.nan())
    classify.finish(stage, frame, prediction, lineage, every, None, len(scores))
