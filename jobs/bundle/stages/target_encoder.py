"""TargetEncoderModel: a category to what the label was on average among its rows, drawn to the average of all.

Source: org.apache.spark.ml.feature.TargetEncoderModel. Null is a category of its own where fitting saw it. What fitting did not
see: `keep` gives the average of all, `error` refuses the row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from jobs.bundle.frame import Frame, Number
from jobs.bundle.graph import ML
from jobs.bundle.saved import Stage, number

#: How Spark writes null and "all rows" among the categories.
_NULL, _ALL = -1.0, 2.0**31 - 1
_UNKNOWN = -1.0


def convert(stage: Stage, frame: Frame) -> None:
    """Add the encoded columns."""
    fitted = {row["index"]: row for row in stage.table().to_pylist()}
    made: dict[str, Number] = {}
    for position, (name, output) in enumerate(
        zip(stage.columns("input"), stage.columns("output"), strict=True)
    ):
        made[output] = _encoded(stage, frame, name, _estimates(stage, fitted[position]))
    frame.columns.update(made)


def _estimates(stage: Stage, row: dict[str, Any]) -> dict[float, float]:
    """By category, of which one stands for null and one for all rows."""
    smoothing = number(stage.params["smoothing"])
    # Of two classes the rows of the second are counted, of a number its mean is kept.
    counts = row["counts"] if stage.params["targetType"] == "binary" else [1.0] * len(row["stats"])
    means = {
        category: stat / count
        for category, stat, count in zip(row["categories"], row["stats"], counts, strict=True)
    }
    weights = {
        category: count / (count + smoothing)
        for category, count in zip(row["categories"], row["counts"], strict=True)
    }
    prior = means[_ALL]
    drawn = {
        category: weights[category] * mean + (1 - weights[category]) * prior
        for category, mean in means.items()
    }
    return {**drawn, _ALL: prior}


def _encoded(stage: Stage, frame: Frame, name: str, estimates: dict[float, float]) -> Number:
    graph, column = frame.graph, frame.number(name, stage.name)
    keep = stage.params["handleInvalid"] == "keep"
    known = [category for category in estimates if category not in (_NULL, _ALL)]
    # The two that no value is met by: null, and all rows.
    table = [*(estimates[category] for category in known), estimates.get(_NULL, 0.0), estimates[_ALL]]
    null, everything = float(len(known)), float(len(known) + 1)
    index = graph.op(
        "LabelEncoder",
        column.value,
        domain=ML,
        keys_tensor=numpy_helper.from_array(np.array([*known, _ALL + 1], dtype=np.float64)),
        values_tensor=numpy_helper.from_array(np.array([*range(len(known)), _UNKNOWN], dtype=np.float64)),
        default_tensor=numpy_helper.from_array(np.array([_UNKNOWN])),
    )
    if column.null and _NULL in estimates:
        index = graph.where(column.null, graph.constant(null), index)
    unknown = graph.op("Less", index, graph.constant(0.0))
    lineage = column.lineage
    if not keep:
        lineage = lineage.refused(frame.refuse(name, column, unknown, drops=False))
    place = graph.cast(graph.where(unknown, graph.constant(everything), index), TensorProto.INT64)
    value = graph.op("Gather", graph.constant(table), place)
    # To Spark the averages are the names of categories.
    return Number(value, "double", None, False, lineage, categories=len(set(estimates.values())))
