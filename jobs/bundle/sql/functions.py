"""The functions that an expression may call, each by Spark's rules.

abs, coalesce, cos, e, exp, float/double/int/bigint/boolean (as casts), floor, greatest, if, ifnull, isnan, isnotnull,
isnull, least, ln, log (one argument), log1p, mod, nanvl, negative, nullif, nvl, pi, pow, power, round (to whole), sign,
signum, sin, sqrt, ceil, ceiling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jobs.bundle.graph import Graph
from jobs.bundle.sql.errors import unsupported
from jobs.bundle.sql.operators import Operators
from jobs.bundle.sql.values import WHOLE, Value, alike, as_type

_LONG = 2.0**63


@dataclass(frozen=True)
class Function:
    """How many arguments a function takes, and what it makes of them."""

    least: int
    most: int
    apply: Callable[[Operators, list[Value]], Value]


def constant(graph: Graph, value: float) -> Value:
    """A double constant."""
    return Value("double", graph.constant([value]), constant=value)


def null(graph: Graph) -> Value:
    """NULL, of no type."""
    return Value("null", graph.constant([np.nan]), graph.constant([True], np.bool_))


def _real(operators: Operators, name: str, value: Value) -> Value:
    operators.numbers(name, value)
    return as_type(operators.graph, value, "double")


def _map(kind: str, *, nan: bool, above: float | None = None) -> Function:
    """An ONNX operator over a double; null at and below `above` (an asymptote); `nan`: it makes NaN of a number."""

    def apply(operators: Operators, arguments: list[Value]) -> Value:
        graph, value = operators.graph, _real(operators, kind, arguments[0])
        made = operators.strict("double", graph.op(kind, value.tensor), value, nan=nan or value.nan)
        if above is None:
            return made
        outside = graph.op("LessOrEqual", value.tensor, graph.constant(above))
        return replace(made, null=operators.masks.any(made.null, outside))

    return Function(1, 1, apply)


def _log1p(operators: Operators, arguments: list[Value]) -> Value:
    value = _real(operators, "log1p", arguments[0])
    one = constant(operators.graph, 1.0)
    return _map("Log", nan=False, above=0.0).apply(operators, [operators.arithmetic("+", value, one)])


def _abs(operators: Operators, arguments: list[Value]) -> Value:
    value = arguments[0]
    operators.numbers("abs", value)
    return replace(value, tensor=operators.graph.op("Abs", value.tensor), constant=None)


def _power(operators: Operators, arguments: list[Value]) -> Value:
    base, exponent = (_real(operators, "pow", value) for value in arguments)
    return operators.strict(
        "double", operators.graph.op("Pow", base.tensor, exponent.tensor), base, exponent, nan=True
    )


def _whole(kind: str) -> Function:
    """floor and ceil: a bigint, NaN becomes 0 and what is too large the largest (Java's conversion)."""

    def apply(operators: Operators, arguments: list[Value]) -> Value:
        graph, value = operators.graph, arguments[0]
        operators.numbers(kind.lower(), value)
        if value.type in WHOLE:
            return as_type(graph, value, "long")
        if value.type == "decimal":
            raise unsupported(f"{kind.lower()} of a decimal", "write the numbers in it as double (2.5D)")
        tensor = graph.op("Clip", graph.op(kind, value.tensor), graph.constant(-_LONG), graph.constant(_LONG))
        if value.nan:
            tensor = graph.where(graph.op("IsNaN", tensor), graph.constant(0.0), tensor)
        return operators.strict("long", tensor, value)

    return Function(1, 1, apply)


def _round(operators: Operators, arguments: list[Value]) -> Value:
    graph, value = operators.graph, arguments[0]
    operators.numbers("round", value)
    if len(arguments) == 2 and arguments[1].constant != 0:
        raise unsupported("round to digits", "round to whole numbers here, and to digits in features()")
    if value.type in WHOLE:
        return value
    if value.type == "decimal":
        raise unsupported("round of a decimal", "write the numbers in it as double (2.5D)")
    # Half up, away from zero. |x| + 0.5 would carry 0.49999999999999994 up to 1.
    size = graph.op("Abs", value.tensor)
    low = graph.op("Floor", size)
    up = graph.op("GreaterOrEqual", graph.op("Sub", size, low), graph.constant(0.5))
    whole = graph.where(up, graph.op("Add", low, graph.constant(1.0)), low)
    return replace(value, tensor=graph.op("Mul", graph.op("Sign", value.tensor), whole), constant=None)


def _sign(operators: Operators, arguments: list[Value]) -> Value:
    value = _real(operators, "sign", arguments[0])
    return operators.strict("double", operators.graph.op("Sign", value.tensor), value, nan=value.nan)


def _coalesce(operators: Operators, arguments: list[Value]) -> Value:
    *first, last = alike(operators.graph, arguments)
    for value in reversed(first):
        last = operators.choose(is_null(operators, [value], negated=True), value, last)
    return last


def is_null(operators: Operators, arguments: list[Value], *, negated: bool = False) -> Value:
    """IS NULL, or IS NOT NULL."""
    value, graph = arguments[0], operators.graph
    tensor = value.null or graph.constant([value.type == "null"], np.bool_)
    return Value(
        "boolean", graph.op("Not", tensor) if negated else tensor, None, value.error, lineage=value.lineage
    )


def _is_nan(operators: Operators, arguments: list[Value]) -> Value:
    value = _real(operators, "isnan", arguments[0])
    tensor = operators.masks.without(operators.graph.op("IsNaN", value.tensor), value.null)
    assert tensor
    return Value("boolean", tensor, None, value.error, lineage=value.lineage)


def _nanvl(operators: Operators, arguments: list[Value]) -> Value:
    value, other = (_real(operators, "nanvl", argument) for argument in arguments)
    made = operators.choose(_is_nan(operators, [value]), other, value)
    return replace(made, nan=other.nan)


def _null_if(operators: Operators, arguments: list[Value]) -> Value:
    value, other = arguments
    return operators.choose(operators.equal(value, other), null(operators.graph), value)


def _extreme(greatest: bool) -> Function:
    """greatest and least: nulls are passed over, NaN is the greatest of all."""

    def apply(operators: Operators, arguments: list[Value]) -> Value:
        best, *others = alike(operators.graph, arguments)
        for value in others:
            pair = (best, value) if greatest else (value, best)
            beaten = operators.less(*pair)
            takes = operators.masks.any(beaten.tensor, best.null) or beaten.tensor
            takes = operators.masks.without(takes, value.null) or takes
            made = operators.choose(Value("boolean", takes), value, best)
            # Every argument is looked at, the one that loses too.
            error = operators.masks.any(best.error, value.error)
            best = replace(made, error=error, lineage=best.lineage | value.lineage)
        return best

    return Function(2, 99, apply)


FUNCTIONS: dict[str, Function] = {
    "abs": Function(1, 1, _abs),
    "ceil": _whole("Ceil"),
    "ceiling": _whole("Ceil"),
    "coalesce": Function(1, 99, _coalesce),
    "cos": _map("Cos", nan=True),
    "e": Function(0, 0, lambda operators, _: constant(operators.graph, math.e)),
    "exp": _map("Exp", nan=False),
    "floor": _whole("Floor"),
    "greatest": _extreme(True),
    "if": Function(3, 3, lambda operators, arguments: operators.choose(*arguments)),
    "ifnull": Function(2, 2, _coalesce),
    "isnan": Function(1, 1, _is_nan),
    "isnotnull": Function(1, 1, lambda operators, arguments: is_null(operators, arguments, negated=True)),
    "isnull": Function(1, 1, is_null),
    "least": _extreme(False),
    "ln": _map("Log", nan=False, above=0.0),
    "log": _map("Log", nan=False, above=0.0),
    "log1p": Function(1, 1, _log1p),
    "mod": Function(2, 2, lambda operators, arguments: operators.remainder(*arguments)),
    "nanvl": Function(2, 2, _nanvl),
    "negative": Function(1, 1, lambda operators, arguments: operators.negative(*arguments)),
    "nullif": Function(2, 2, _null_if),
    "nvl": Function(2, 2, _coalesce),
    "pi": Function(0, 0, lambda operators, _: constant(operators.graph, math.pi)),
    "pow": Function(2, 2, _power),
    "power": Function(2, 2, _power),
    "round": Function(1, 2, _round),
    "sign": Function(1, 1, _sign),
    "signum": Function(1, 1, _sign),
    "sin": _map("Sin", nan=True),
    "sqrt": _map("Sqrt", nan=True),
}
