"""The value of an expression over the rows, with Spark's type, its nulls and its failures kept apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import NOTHING, NULL_TEXT, Lineage, Number, Text, rounded_to_float
from jobs.bundle.graph import Graph
from jobs.bundle.sql.errors import unsupported

Type = Literal["boolean", "int", "long", "decimal", "float", "double", "string", "null"]

WHOLE = ("int", "long")
NUMERIC = (*WHOLE, "decimal", "float", "double")
#: Spark's decimals have at most this many digits; past it Spark cuts the scale.
_MOST_DIGITS = 38
_WIDTH = {"int": 10, "long": 20}

Mask = str | None  # bool [N] or [1]; None is false everywhere


@dataclass(frozen=True)
class Value:
    """`tensor` is bool (boolean), string (string) or float64 (numbers), [N], or [1] for a constant.

    A decimal's tensor is its value times 10**scale, a whole number. A boolean is False where it is null; other tensors
    hold anything there. `error` marks rows on which Spark raises. `nan`: a value that is not null may be NaN.
    `constant` is a number's value where it is known.
    """

    type: Type
    tensor: str
    null: Mask = None
    error: Mask = None
    nan: bool = False
    lineage: Lineage = NOTHING
    constant: float | None = None
    digits: int = 0
    scale: int = 0

    @property
    def whole_digits(self) -> int:
        """How many digits a number has before the point, by its type."""
        return _WIDTH.get(self.type, self.digits) - self.scale


class Masks:
    """Boolean algebra over masks that may be None, false everywhere."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def any(self, *masks: Mask) -> Mask:
        """Where any holds."""
        there = [mask for mask in masks if mask]
        return reduce(lambda a, b: self._graph.op("Or", a, b), there) if there else None

    def both(self, first: Mask, second: Mask) -> Mask:
        """Where both hold."""
        return self._graph.op("And", first, second) if first and second else None

    def without(self, mask: Mask, excluded: Mask) -> Mask:
        """Where the first holds and the second does not."""
        if not mask or not excluded:
            return mask
        return self._graph.op("And", mask, self._graph.op("Not", excluded))

    def choose(self, condition: str, then: Mask, otherwise: Mask) -> Mask:
        """The one mask where the condition holds, the other elsewhere."""
        return self.any(self.both(condition, then), self.without(otherwise, condition))


def from_column(graph: Graph, column: Number | Text) -> Value:
    """A column of the frame as a value."""
    if isinstance(column, Text):
        return Value("string", column.value, column.null, lineage=column.lineage)
    tensor = column.value
    if column.type == "boolean":
        tensor = graph.op("Greater", tensor, graph.constant(0.0))
    return Value(column.type, tensor, column.null, nan=column.nan, lineage=column.lineage)


def to_column(graph: Graph, value: Value, like: str) -> Number | Text:
    """A value as a column of the frame, [N] as the tensor `like` is. Its failures must be refused apart."""
    if value.type == "string":
        text = (
            graph.where(value.null, graph.strings([NULL_TEXT]), value.tensor) if value.null else value.tensor
        )
        return Text(_spread(graph, text, like), _spread_mask(graph, value.null, like), value.lineage)
    if value.type == "null":
        value = replace(value, type="double", tensor=graph.constant([np.nan]))
    if value.type == "decimal":
        value = as_type(graph, value, "double")
    tensor = graph.cast(value.tensor, TensorProto.DOUBLE) if value.type == "boolean" else value.tensor
    if value.null:
        tensor = graph.where(value.null, graph.nan(), tensor)
    return Number(
        _spread(graph, tensor, like),
        value.type,  # type: ignore[arg-type]
        _spread_mask(graph, value.null, like),
        value.nan,
        value.lineage,
    )


def _spread(graph: Graph, tensor: str, like: str) -> str:
    return graph.op("Expand", tensor, graph.op("Shape", like))


def _spread_mask(graph: Graph, mask: Mask, like: str) -> Mask:
    return _spread(graph, mask, like) if mask else None


def common_type(values: list[Value]) -> Type:
    """The type that Spark gives to values side by side (AnsiTypeCoercion). Raises UnsupportedSql if there is none."""
    return reduce(_wider, [value.type for value in values])


def _wider(first: Type, second: Type) -> Type:
    if first == second or second == "null":
        return first
    if first == "null":
        return second
    if first in NUMERIC and second in NUMERIC:
        pair = {first, second}
        if pair == {"int", "long"}:
            return "long"
        # Whole numbers and decimals beside a float become double: a float would lose digits.
        return "double" if pair & {"double", "float"} else "decimal"
    raise unsupported(
        f"a {first} stands beside a {second}", "cast one of them (CAST(x AS DOUBLE)) so that both are alike"
    )


def as_type(graph: Graph, value: Value, wanted: Type) -> Value:
    """A number (or null) as a wider or equal type, as Spark coerces; the other types must be of that type already."""
    if value.type == wanted:
        return value
    if value.type == "null":
        return replace(value, type=wanted, tensor=_nothing(graph, wanted))
    if wanted == "decimal":
        return replace(value, type="decimal", digits=value.whole_digits)
    tensor = value.tensor
    if value.type == "decimal" and value.scale:
        # Both are exact in double, so the quotient is the double nearest to the decimal, as Spark's is.
        tensor = graph.op("Div", tensor, graph.constant(10.0**value.scale))
    if wanted == "float":
        tensor = rounded_to_float(graph, tensor)
    return replace(value, type=wanted, tensor=tensor, digits=0, scale=0)


def _nothing(graph: Graph, wanted: Type) -> str:
    if wanted == "string":
        return graph.strings([NULL_TEXT])
    return graph.constant([False], np.bool_) if wanted == "boolean" else graph.constant([np.nan])


def alike(graph: Graph, values: list[Value]) -> list[Value]:
    """Values as their common type, decimals at a common scale."""
    wanted = common_type(values)
    values = [as_type(graph, value, wanted) for value in values]
    if wanted != "decimal":
        return values
    scale = max(value.scale for value in values)
    return [rescaled(graph, value, scale) for value in values]


def rescaled(graph: Graph, value: Value, scale: int) -> Value:
    """A decimal with at least as many digits after the point."""
    if scale == value.scale:
        return value
    tensor = graph.op("Mul", value.tensor, graph.constant(10.0 ** (scale - value.scale)))
    return decimal(value, tensor, value.whole_digits + scale, scale)


def decimal(like: Value, tensor: str, digits: int, scale: int) -> Value:
    """A decimal result. Raises UnsupportedSql where Spark would begin to cut digits off."""
    if digits > _MOST_DIGITS:
        raise unsupported(
            f"a decimal of {digits} digits comes out, and Spark keeps {_MOST_DIGITS}",
            "write one of the numbers as double (2.5D, or CAST(x AS DOUBLE))",
        )
    return replace(like, type="decimal", tensor=tensor, digits=digits, scale=scale)
