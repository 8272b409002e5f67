"""StandardScalerModel: (x - mean) / std, as the two switches say; a feature that never varied becomes 0."""

from __future__ import annotations

import numpy as np

from jobs.bundle.frame import Frame, Vector
from jobs.bundle.saved import Stage, vector


def convert(stage: Stage, frame: Frame) -> None:
    """Add the scaled column."""
    graph = frame.graph
    name = stage.params["inputCol"]
    column = frame.present_vector(name, stage.name)
    fitted = stage.row()
    value = column.value
    if stage.params["withMean"]:
        value = graph.op("Sub", value, graph.constant(vector(fitted["mean"])))
    if stage.params["withStd"]:
        deviation = vector(fitted["std"])
        # Spark multiplies by 1 / std, and by 0 where std is 0: dividing would differ in the last bit.
        scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation != 0)
        value = graph.op("Mul", value, graph.constant(scale))
    frame.columns[stage.params["outputCol"]] = Vector(value, column.size, None, column.lineage)
