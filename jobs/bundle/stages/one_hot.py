"""OneHotEncoderModel: an index to a vector with a single 1.0.

`keep` gives an index out of range a place after the last category; `dropLast` then leaves out the vector's last place.
A null index is a null vector in Spark, whatever handleInvalid says: what reads the vector decides.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import Frame, Number, Vector
from jobs.bundle.saved import Stage


def convert(stage: Stage, frame: Frame) -> None:
    """Add the one-hot columns."""
    graph = frame.graph
    keep = stage.params["handleInvalid"] == "keep"
    made: dict[str, Vector] = {}
    for name, output, categories in zip(
        stage.columns("input"), stage.columns("output"), stage.row()["categorySizes"], strict=True
    ):
        column = frame.number(name, stage.name)
        index, lineage = column.value, column.lineage
        if column.codes is None or column.codes > categories:
            inside = _inside(frame, column, categories)
            if keep:
                index = graph.where(inside, index, graph.constant(float(categories)))
            else:
                outside = graph.op("Not", inside)
                if column.null:
                    outside = graph.op("And", outside, graph.op("Not", column.null))
                lineage = lineage.refused(frame.refuse(name, column, outside, drops=False))
            index = graph.op("Floor", index)  # Spark cuts an index such as 1.5 to 1
        size = categories + keep - bool(stage.params["dropLast"])
        places = graph.constant(np.arange(size, dtype=np.float64)[np.newaxis])
        hot = graph.cast(graph.op("Equal", graph.column(index), places), TensorProto.DOUBLE)
        made[output] = Vector(hot, size, column.null, lineage, one_hot=True)
    frame.columns.update(made)


def _inside(frame: Frame, column: Number, categories: int) -> str:
    graph = frame.graph
    return graph.op(
        "And",
        graph.op("GreaterOrEqual", column.value, graph.constant(0.0)),
        graph.op("Less", column.value, graph.constant(float(categories))),
    )
