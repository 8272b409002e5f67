"""VectorIndexerModel: the features that had few values become the indices of those; the others pass.

A value that fitting did not see: `keep` gives it the index after the last, `error` and `skip` refuse the row.
"""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from jobs.bundle.frame import Frame, Vector
from jobs.bundle.graph import ML
from jobs.bundle.saved import Stage

_UNKNOWN = -1.0


def convert(stage: Stage, frame: Frame) -> None:
    """Add the indexed column."""
    graph, invalid = frame.graph, stage.params["handleInvalid"]
    column = frame.present_vector(stage.params["inputCol"], stage.name)
    maps = {position: dict(found) for position, found in stage.row()["categoryMaps"]}
    if not maps:
        frame.columns[stage.params["outputCol"]] = column
        return
    parts, unknown, lineage = [], [], column.lineage
    for position in range(column.size):
        value = graph.pick(column.value, position)
        if position in maps:
            known = maps[position]
            value = graph.op(
                "LabelEncoder",
                value,
                domain=ML,
                keys_tensor=numpy_helper.from_array(np.array(list(known), dtype=np.float64)),
                values_tensor=numpy_helper.from_array(np.array(list(known.values()), dtype=np.float64)),
                default_tensor=numpy_helper.from_array(
                    np.array([float(len(known)) if invalid == "keep" else _UNKNOWN])
                ),
            )
            unknown.append(graph.column(graph.op("Less", value, graph.constant(0.0))))
        parts.append(graph.column(value))
    if invalid != "keep":
        name = stage.params["inputCol"]
        refused = [(name, column)] * len(unknown)
        lineage = lineage.refused(frame.refuse_any(refused, graph.concat(unknown), drops=invalid == "skip"))
    frame.columns[stage.params["outputCol"]] = Vector(graph.concat(parts), column.size, None, lineage)
