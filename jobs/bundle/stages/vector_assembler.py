"""VectorAssembler: scalars and vectors side by side.

Null and NaN are one case to it: `keep` puts NaN in their place, `error` and `skip` refuse the row (a NaN *inside* a
vector passes; a null vector is refused, or is NaN throughout with `keep`).
"""

from __future__ import annotations

from jobs.bundle.frame import Frame, Lineage, Number, Vector
from jobs.bundle.saved import Stage


def convert(stage: Stage, frame: Frame) -> None:
    """Add the assembled column."""
    graph = frame.graph
    inputs = {name: frame.numeric(name, stage.name) for name in stage.params["inputCols"]}
    parts, size, lineage = [], 0, Lineage()
    for name in stage.params["inputCols"]:
        column = inputs[name]
        lineage |= column.lineage
        if isinstance(column, Vector):
            null = column.null and graph.column(column.null)
            parts.append(graph.where(null, graph.nan(), column.value) if null else column.value)
            size += column.size
        else:
            parts.append(graph.column(column.value))
            size += 1
    invalid = stage.params["handleInvalid"]
    holes = {name: hole for name, column in inputs.items() if (hole := _hole(frame, column))}
    if holes and invalid != "keep":
        mask = graph.op("IsNaN", graph.concat(list(holes.values())))
        refused = [(name, inputs[name]) for name in holes]
        lineage = lineage.refused(frame.refuse_any(refused, mask, drops=invalid == "skip"))
    frame.columns[stage.params["outputCol"]] = Vector(graph.concat(parts), size, None, lineage)


def _hole(frame: Frame, column: Number | Vector) -> str | None:
    """float64 [N, 1], NaN where the column is refused; None when it never is."""
    graph = frame.graph
    if isinstance(column, Vector):
        if column.null is None:
            return None
        return graph.column(graph.where(column.null, graph.nan(), graph.constant(0.0)))
    return graph.column(column.value) if column.may_miss else None
