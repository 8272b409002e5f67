"""Bucketizer: a number to the index of its bucket [splits[i], splits[i + 1]), the last one closed.

Null stays null (`skip` refuses the row). NaN that is not null gets a bucket of its own after the last with `keep`, and
is refused with `error` and `skip`: given NaN in a column of its own, which to a function is null, Spark differs. A value outside the splits is refused whatever handleInvalid says. Spark orders -0.0 before 0.0 (Java's binary
search), so a split at 0.0 leaves -0.0 in the bucket below; the same is done here.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from jobs.bundle import fitted
from jobs.bundle.frame import Frame, Number
from jobs.bundle.graph import Graph
from jobs.bundle.saved import Stage


def convert(stage: Stage, frame: Frame) -> None:
    """Add the bucket columns."""
    invalid = stage.params["handleInvalid"]
    made: dict[str, Number] = {}
    for name, output, splits in zip(
        stage.columns("input"), stage.columns("output"), fitted.splits(stage), strict=True
    ):
        column = frame.number(name, stage.name)
        made[output] = _bucket(frame, name, column, splits, invalid)
    frame.columns.update(made)


def _bucket(frame: Frame, name: str, column: Number, splits: list[float], invalid: str) -> Number:
    graph = frame.graph
    buckets = len(splits) - 1
    lineage = column.lineage
    reached = _reached(graph, column.value, splits)
    # Bucket = how many splits after the first were reached, of which the last one does not count.
    inner = graph.op(
        "ReduceSum",
        graph.cast(graph.op("Slice", reached, *_range(graph, 1, buckets)), TensorProto.DOUBLE),
        graph.constant([1], np.int64),
        keepdims=0,
    )
    nan = graph.op("IsNaN", column.value) if column.may_miss else None
    if nan and invalid == "skip":
        lineage = lineage.refused(frame.refuse(name, column, nan, drops=True))
    elif nan and column.nan:
        if invalid == "keep":
            inner = graph.where(nan, graph.constant(float(buckets)), inner)
        else:
            only_nan = graph.op("And", nan, graph.op("Not", column.null)) if column.null else nan
            lineage = lineage.refused(frame.refuse(name, column, only_nan, drops=False))
    null = None if invalid == "skip" else column.null
    if null:
        inner = graph.where(null, graph.nan(), inner)
    outside = _outside(graph, column.value, reached, splits)
    if outside:
        lineage = lineage.refused(frame.refuse(name, column, outside, drops=False))
    return Number(inner, "double", null, False, lineage, buckets + (invalid == "keep"), buckets)


def _reached(graph: Graph, value: str, splits: list[float]) -> str:
    """bool [N, splits]: whether the value is at or above each split in Java's order of doubles."""
    matrix = graph.column(value)
    reached = graph.op("GreaterOrEqual", matrix, graph.constant([splits]))
    at_zero = [split == 0 and math.copysign(1.0, split) > 0 for split in splits]
    if any(at_zero):
        negative_zero = graph.op(
            "And",
            graph.op("Equal", matrix, graph.constant(0.0)),
            graph.op("Less", graph.op("Div", graph.constant(1.0), matrix), graph.constant(0.0)),
        )
        below = graph.op("And", negative_zero, graph.constant([at_zero], np.bool_))
        reached = graph.op("And", reached, graph.op("Not", below))
    return reached


def _outside(graph: Graph, value: str, reached: str, splits: list[float]) -> str | None:
    sides = []
    if splits[0] != -math.inf:
        below = graph.op("Not", graph.pick(reached, 0))
        # NaN reaches no split, and is not outside.
        sides.append(graph.op("And", below, graph.op("Not", graph.op("IsNaN", value))))
    if splits[-1] != math.inf:
        sides.append(graph.op("Greater", value, graph.constant(splits[-1])))
    return graph.op("Or", *sides) if len(sides) == 2 else sides[0] if sides else None


def _range(graph: Graph, start: int, end: int) -> tuple[str, str, str]:
    return (graph.constant([start], np.int64), graph.constant([end], np.int64), graph.constant([1], np.int64))
