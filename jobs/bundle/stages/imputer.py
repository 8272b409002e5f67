"""ImputerModel: null, and whatever equals missingValue, becomes the fitted surrogate.

With a missingValue other than NaN, Spark leaves NaN alone and replaces null; a function's NaN is null, so it is
replaced. Spark casts the result to the input's type: the mean 2.7 becomes 2 in an integer column. A
surrogate of -0.0 stays -0.0; Spark 4.1 makes it 0.0 in some plans and not in others, which only a Bucketizer with a
split at 0.0 can tell.
"""

from __future__ import annotations

import math

from jobs.bundle.frame import Frame, Number, rounded_to_float
from jobs.bundle.saved import Stage, number


def convert(stage: Stage, frame: Frame) -> None:
    """Add the imputed columns."""
    surrogates = stage.row()
    missing = number(stage.params["missingValue"])
    made = {
        output: _imputed(frame, frame.number(name, stage.name), missing, surrogates[name])
        for name, output in zip(stage.columns("input"), stage.columns("output"), strict=True)
    }
    frame.columns.update(made)


def _imputed(frame: Frame, column: Number, missing: float, surrogate: float) -> Number:
    graph = frame.graph
    if column.type in ("int", "long"):
        surrogate = float(math.trunc(surrogate))
    replaced = [column.null] if column.null else []
    if math.isnan(missing):
        replaced = [graph.op("IsNaN", column.value)] if column.may_miss else []
    else:
        replaced.append(graph.op("Equal", column.value, graph.constant(missing)))
    value = column.value
    for mask in replaced:
        value = graph.where(mask, graph.constant(surrogate), value)
    if column.type == "float":
        value = rounded_to_float(graph, value)
    still_nan = column.nan and not math.isnan(missing)
    return Number(value, column.type, None, still_nan, column.lineage)
