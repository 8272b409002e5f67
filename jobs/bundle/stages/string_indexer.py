"""StringIndexerModel: a value to its rank among the labels.

Spark indexes the *text* of a value, so the labels of a numeric column are read back as numbers here (-0.0 counts as
0.0; Spark tells them apart). Null and unseen are one case to Spark: `keep` gives both the index after the last label,
`error` and `skip` refuse the row.
"""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from jobs.bundle.errors import BundleError
from jobs.bundle.frame import Frame, Number, Text
from jobs.bundle.graph import ML, string_tensor
from jobs.bundle.saved import Stage

_UNKNOWN = -1.0


def convert(stage: Stage, frame: Frame) -> None:
    """Add the index columns; an input column that is not there is passed over, as Spark does (the label's)."""
    graph = frame.graph
    invalid = stage.params["handleInvalid"]
    made: dict[str, Number] = {}
    for name, output, labels in zip(
        stage.columns("input"), stage.columns("output"), stage.row()["labelsArray"], strict=True
    ):
        if name not in frame.columns:
            continue
        known = len(labels)
        column = frame.scalar(name, stage.name)
        index = _index(frame, name, column, labels, float(known) if invalid == "keep" else _UNKNOWN)
        if invalid == "keep":
            made[output] = Number(index, "double", None, False, column.lineage, known + 1, known + 1)
        else:
            unknown = graph.op("Less", index, graph.constant(0.0))
            refusal = frame.refuse(name, column, unknown, drops=invalid == "skip")
            lineage = column.lineage.refused(refusal)
            made[output] = Number(index, "double", None, False, lineage, known, known)
    frame.columns.update(made)


def _index(frame: Frame, name: str, column: Number | Text, labels: list[str | None], unknown: float) -> str:
    graph = frame.graph
    # A label that is null (pyspark's from_arrays_of_labels pads with them) has a rank and is never met.
    ranks = {label: float(rank) for rank, label in enumerate(labels) if label is not None}
    if isinstance(column, Text):
        keys = string_tensor(list(ranks))
    else:
        keys = numpy_helper.from_array(np.array([_as_number(name, label, column) for label in ranks]))
    index = graph.op(
        "LabelEncoder",
        column.value,
        domain=ML,
        keys_tensor=keys,
        values_tensor=numpy_helper.from_array(np.array(list(ranks.values()))),
        default_tensor=numpy_helper.from_array(np.array([unknown])),
    )
    if isinstance(column, Number) and column.null and "NaN" in ranks:
        # The tensor is NaN for null too, and null is never a label.
        index = graph.where(column.null, graph.constant(unknown), index)
    return index


def _as_number(name: str, label: str, column: Number) -> float:
    try:
        return float(np.float32(label)) if column.type == "float" else float(label)
    except ValueError as error:
        raise BundleError(
            f"StringIndexerModel has the label {label!r} for the column {name!r}, which is no {column.type}",
            next_step=f"give {name!r} the type that the model was trained on",
        ) from error
