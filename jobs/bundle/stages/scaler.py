"""Scalers: a vector shifted and stretched by what fitting found, feature by feature."""

from __future__ import annotations

import math

import numpy as np

from jobs.bundle import fitted
from jobs.bundle.frame import Frame, Vector
from jobs.bundle.saved import Stage, number, vector


def standard(stage: Stage, frame: Frame) -> None:
    """StandardScalerModel: (x - mean) / std, as the two switches say; a feature that never varied becomes 0."""
    _shift_and_scale(stage, frame, *fitted.standard(stage))


def robust(stage: Stage, frame: Frame) -> None:
    """RobustScalerModel: (x - median) / range between quantiles, as the two switches say; likewise."""
    _shift_and_scale(stage, frame, *fitted.robust(stage))


def min_max(stage: Stage, frame: Frame) -> None:
    """MinMaxScalerModel: from what fitting saw to [min, max]; a feature that never varied becomes their middle.

    NaN stays NaN, also there.
    """
    graph, row = frame.graph, stage.row()
    low, high = vector(row["originalMin"]), vector(row["originalMax"])
    least, most = number(stage.params["min"]), number(stage.params["max"])
    column = frame.present_vector(stage.params["inputCol"], stage.name)
    varied = high != low
    scale = np.divide(most - least, high - low, out=np.zeros_like(low), where=varied)
    scaled = graph.op("Mul", graph.op("Sub", column.value, graph.constant(low)), graph.constant(scale))
    moved = graph.op("Add", scaled, graph.constant(least))
    if not varied.all():
        constant = graph.op("Or", graph.constant([varied], np.bool_), graph.op("IsNaN", column.value))
        moved = graph.where(constant, moved, graph.constant((least + most) / 2))
    _made(stage, frame, column, moved)


def max_abs(stage: Stage, frame: Frame) -> None:
    """MaxAbsScalerModel: divided by the greatest absolute value that fitting saw, where that is not 0."""
    column = frame.present_vector(stage.params["inputCol"], stage.name)
    by = frame.graph.constant(fitted.greatest(stage))
    _made(stage, frame, column, frame.graph.op("Div", column.value, by))


def idf(stage: Stage, frame: Frame) -> None:
    """IDFModel: each feature times its inverse document frequency."""
    column = frame.present_vector(stage.params["inputCol"], stage.name)
    by = frame.graph.constant(vector(stage.row()["idf"]))
    _made(stage, frame, column, frame.graph.op("Mul", column.value, by))


def normalizer(stage: Stage, frame: Frame) -> None:
    """Normalizer: each row divided by its p-norm, where that is not 0."""
    graph, p = frame.graph, number(stage.params["p"])
    column = frame.present_vector(stage.params["inputCol"], stage.name)
    along = graph.constant([1], np.int64)
    size = graph.op("Abs", column.value)
    if math.isinf(p):
        norm = graph.op("ReduceMax", size, along)
    elif p == 1:
        norm = graph.op("ReduceSum", size, along)
    elif p == 2:
        norm = graph.op("Sqrt", graph.op("ReduceSum", graph.op("Mul", size, size), along))
    else:
        powers = graph.op("ReduceSum", graph.op("Pow", size, graph.constant(p)), along)
        norm = graph.op("Pow", powers, graph.constant(1 / p))
    none = graph.op("Equal", norm, graph.constant(0.0))
    _made(stage, frame, column, graph.op("Div", column.value, graph.where(none, graph.constant(1.0), norm)))


def _shift_and_scale(stage: Stage, frame: Frame, shift: np.ndarray | None, spread: np.ndarray | None) -> None:
    graph = frame.graph
    column = frame.present_vector(stage.params["inputCol"], stage.name)
    value = column.value
    if shift is not None:
        value = graph.op("Sub", value, graph.constant(shift))
    if spread is not None:
        # Spark multiplies by 1 / spread, and by 0 where that is 0: dividing would differ in the last bit.
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread != 0)
        value = graph.op("Mul", value, graph.constant(scale))
    _made(stage, frame, column, value)


def _made(stage: Stage, frame: Frame, column: Vector, value: str) -> None:
    frame.columns[stage.params["outputCol"]] = Vector(value, column.size, None, column.lineage)
