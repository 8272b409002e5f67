"""IsotonicRegressionModel: a line from boundary to boundary, level before the first and after the last.

Source: org.apache.spark.mllib.regression.IsotonicRegressionModel.predict; NaN counts as after the last, as in Java's search.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import Frame, Number
from jobs.bundle.saved import Stage
from jobs.bundle.stages import classify


def convert(stage: Stage, frame: Frame) -> None:
    """Add the regressor's column; its feature is a number, or one position of a vector."""
    graph = frame.graph
    fitted = stage.row()
    boundaries, values = np.array(fitted["boundaries"]), np.array(fitted["predictions"])
    column = frame.numeric(stage.params["featuresCol"], stage.name)
    if isinstance(column, Number):
        lineage, value = column.lineage, column.value
        if column.null:
            lineage = lineage.refused(
                frame.refuse(stage.params["featuresCol"], column, column.null, drops=False)
            )
    else:
        column = frame.present_vector(stage.params["featuresCol"], stage.name)
        lineage, value = column.lineage, graph.pick(column.value, stage.params["featureIndex"])
    reached = graph.cast(
        graph.op("Less", graph.constant(boundaries[np.newaxis]), graph.column(value)), TensorProto.INT64
    )
    passed = graph.op("ReduceSum", reached, graph.constant([1], np.int64), keepdims=0)
    last = len(boundaries) - 1
    right = graph.op("Min", passed, graph.constant(last, np.int64))
    left = graph.op("Max", graph.op("Sub", passed, graph.constant(1, np.int64)), graph.constant(0, np.int64))
    x1, x2 = (graph.op("Gather", graph.constant(boundaries), side) for side in (left, right))
    y1, y2 = (graph.op("Gather", graph.constant(values), side) for side in (left, right))
    part = graph.op("Div", graph.op("Sub", value, x1), graph.op("Sub", x2, x1))
    between = graph.op("Add", y1, graph.op("Mul", graph.op("Sub", y2, y1), part))
    inside = graph.op("And", graph.op("Greater", value, x1), graph.op("Less", value, x2))
    level = graph.where(graph.op("Less", value, x2), y1, y2)
    answer = graph.where(
        graph.op("IsNaN", value), graph.constant(values[-1]), graph.where(inside, between, level)
    )
    classify.finish_regression(stage, frame, answer, lineage)
