"""PCAModel: a vector projected on the principal components."""

from __future__ import annotations

from jobs.bundle.frame import Frame, Vector
from jobs.bundle.saved import Stage, matrix


def convert(stage: Stage, frame: Frame) -> None:
    """Add the projected column."""
    components, _ = matrix(stage.row()["pc"])
    column = frame.present_vector(stage.params["inputCol"], stage.name)
    value = frame.graph.op("MatMul", column.value, frame.graph.constant(components))
    frame.columns[stage.params["outputCol"]] = Vector(value, components.shape[1], None, column.lineage)
