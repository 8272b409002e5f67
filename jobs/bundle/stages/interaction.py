"""Interaction: every product of one entry of each input, where a category is first made one-hot.

Source: org.apache.spark.ml.feature.Interaction (FeatureEncoder). The last input varies fastest. What Spark does not
store of a vector takes no part in a product, so NaN beside it changes nothing; a vector that is not one-hot is stored
in full or not, row by row, by how many zeros it has, and then the answer hangs on that.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.bundle.errors import UnsupportedStage
from jobs.bundle.frame import Frame, Lineage, Number, Vector
from jobs.bundle.graph import Graph
from jobs.bundle.saved import Stage


def convert(stage: Stage, frame: Frame) -> None:
    """Add the column of products. Raises UnsupportedStage for a vector that is not one-hot."""
    graph, lineage = frame.graph, Lineage()
    value, places, size = graph.constant([[1.0]]), None, 1
    for name in reversed(stage.params["inputCols"]):
        column = factor(frame, name, stage.name)
        lineage |= column.lineage
        if isinstance(column, Vector):
            width, hot = column.size, graph.cast(column.value, TensorProto.BOOL)
        else:
            if column.null:
                lineage = lineage.refused(frame.refuse(name, column, column.null, drops=False))
            if column.categories is None or column.categories == 1:
                value = graph.op("Mul", value, graph.column(column.value))
                continue
            width = column.categories
            indices = graph.constant(np.arange(width, dtype=np.float64)[np.newaxis])
            hot = graph.op("Equal", graph.column(column.value), indices)
            if column.codes is None or column.codes > width:
                lineage = lineage.refused(_no_category(frame, name, column, hot))
        size *= width
        places = _crossed(graph, hot, places, size) if places else hot
    if places:
        value = graph.where(places, value, graph.constant(0.0))
    frame.columns[stage.params["outputCol"]] = Vector(value, size, None, lineage)


def factor(frame: Frame, name: str, stage: str) -> Number | Vector:
    """The column of that name, a number or a one-hot vector. Raises UnsupportedStage for another vector."""
    column = frame.numeric(name, stage)
    if isinstance(column, Number):
        return column
    if not column.one_hot:
        raise UnsupportedStage(
            f"{stage} reads the vector {name!r}, and Spark's products with it depend on how a row is stored",
            next_step="give it the vector's columns themselves, or vectors that OneHotEncoder made",
        )
    return frame.present_vector(name, stage)


def _crossed(graph: Graph, slow: str, fast: str, size: int) -> str:
    """bool [N, size], from bool [N, a] and bool [N, b] with a * b = size: where both hold."""
    rows = graph.op("Unsqueeze", slow, graph.constant([2], np.int64))
    both = graph.op("And", rows, graph.op("Unsqueeze", fast, graph.constant([1], np.int64)))
    return graph.op("Reshape", both, graph.constant([-1, size], np.int64))


def _no_category(frame: Frame, name: str, column: Number, hot: str) -> int:
    graph = frame.graph
    bits = graph.op(
        "ReduceMax", graph.cast(hot, TensorProto.UINT8), graph.constant([1], np.int64), keepdims=0
    )
    return frame.refuse(name, column, graph.op("Not", graph.cast(bits, TensorProto.BOOL)), drops=False)
