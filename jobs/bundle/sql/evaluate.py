"""A syntax tree to nodes of a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import numpy as np

from jobs.bundle.frame import Frame
from jobs.bundle.sql.errors import unsupported
from jobs.bundle.sql.functions import FUNCTIONS, is_null, null
from jobs.bundle.sql.operators import Operators
from jobs.bundle.sql.syntax import Call, Case, Cast, Column, Expression, Literal, Select, Star
from jobs.bundle.sql.values import Value, alike, as_type, from_column, to_column

_INT = (-(2.0**31), 2.0**31 - 1)
# Spark compares with the longs as doubles; 2**63 - 1 is no double, so 2**63 passes there too.
_LONG = (-(2.0**63), 2.0**63)

_OPERATORS: dict[str, Callable[[Operators, list[Value]], Value]] = {
    "+": lambda operators, sides: operators.arithmetic("+", *sides),
    "-": lambda operators, sides: operators.arithmetic("-", *sides),
    "*": lambda operators, sides: operators.arithmetic("*", *sides),
    "/": lambda operators, sides: operators.divide(*sides),
    "%": lambda operators, sides: operators.remainder(*sides),
    "div": lambda operators, sides: operators.whole_division(*sides),
    "=": lambda operators, sides: operators.equal(*sides),
    "<>": lambda operators, sides: operators.negate(operators.equal(*sides)),
    "<": lambda operators, sides: operators.less(*sides),
    ">": lambda operators, sides: operators.less(sides[1], sides[0]),
    "<=": lambda operators, sides: operators.less_or_equal(*sides),
    ">=": lambda operators, sides: operators.less_or_equal(sides[1], sides[0]),
    "<=>": lambda operators, sides: operators.null_safe_equal(*sides),
    "and": lambda operators, sides: operators.conjunction(*sides),
    "or": lambda operators, sides: operators.disjunction(*sides),
    "not": lambda operators, sides: operators.negate(*sides),
    "is null": is_null,
    "in": lambda operators, sides: reduce(
        operators.disjunction, [operators.equal(sides[0], item) for item in sides[1:]]
    ),
}


def check(select: Select) -> None:
    """Raise UnsupportedSql if a statement calls what there is not; types are known only when it is converted."""
    for item in select:
        if not isinstance(item, Star):
            _check(item.expression)


def _check(expression: Expression) -> None:
    if isinstance(expression, Call):
        known = FUNCTIONS.get(expression.name)
        if expression.name not in _OPERATORS and (
            known is None or not known.least <= len(expression.arguments) <= known.most
        ):
            raise unsupported(
                f"the function {expression.name} of {len(expression.arguments)} arguments",
                f"work it out in features(), or use one of {', '.join(sorted(FUNCTIONS))}",
            )
        for argument in expression.arguments:
            _check(argument)
    elif isinstance(expression, Cast):
        _check(expression.value)
    elif isinstance(expression, Case):
        for part in (*(part for branch in expression.branches for part in branch), expression.otherwise):
            _check(part)


def apply(select: Select, frame: Frame) -> None:
    """Replace the frame's columns by those that a statement selects."""
    check(select)
    made = {}
    evaluator = _Evaluator(frame)
    for item in select:
        if isinstance(item, Star):
            left_out = {_found(frame, name) for name in item.without}
            made.update({name: column for name, column in frame.columns.items() if name not in left_out})
        elif isinstance(item.expression, Column):
            made[item.name] = frame.columns[_found(frame, item.expression.name)]
        else:
            value = evaluator.value(item.expression)
            column = to_column(frame.graph, value, evaluator.rows)
            if value.error:
                mask = frame.graph.op("And", value.error, evaluator.every_row)
                refusal = frame.refuse(item.name, column, mask, drops=False)
                column = replace(column, lineage=column.lineage.refused(refusal))
            made[item.name] = column
    frame.columns = made


def _found(frame: Frame, name: str) -> str:
    """A column's own name; Spark's SQL does not look at case."""
    if name in frame.columns:
        return name
    found = [other for other in frame.columns if other.lower() == name.lower()]
    return found[0] if len(found) == 1 else name


class _Evaluator:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._graph = frame.graph
        self._operators = Operators(frame.graph)

    @property
    def rows(self) -> str:
        """A tensor with one element a row."""
        return next(iter(self._frame.columns.values())).value

    @property
    def every_row(self) -> str:
        """bool [N], true."""
        shape = self._graph.op("Shape", self.rows, end=1)
        return self._graph.op("Expand", self._graph.constant([True], np.bool_), shape)

    def value(self, expression: Expression) -> Value:
        """The value of an expression. Raises UnsupportedSql where its types do not go together here."""
        match expression:
            case Literal():
                return self._literal(expression)
            case Column(name):
                return from_column(
                    self._graph, self._frame.scalar(_found(self._frame, name), "SQLTransformer")
                )
            case Cast(inner, wanted):
                return self._cast(self.value(inner), wanted)
            case Case(branches, otherwise):
                conditions = [self.value(condition) for condition, _ in branches]
                *values, last = alike(
                    self._graph, [self.value(part) for part in (*(v for _, v in branches), otherwise)]
                )
                for condition, value in reversed(list(zip(conditions, values, strict=True))):
                    last = self._operators.choose(condition, value, last)
                return last
            case Call(name, arguments):
                values = [self.value(argument) for argument in arguments]
                if name in _OPERATORS:
                    return _OPERATORS[name](self._operators, values)
                return FUNCTIONS[name].apply(self._operators, values)

    def _literal(self, literal: Literal) -> Value:
        graph, text = self._graph, literal.text
        if literal.kind == "null":
            return null(graph)
        if literal.kind == "string":
            return Value("string", graph.strings([text]))
        if literal.kind == "boolean":
            return Value("boolean", graph.constant([text == "true"], np.bool_))
        if literal.kind == "decimal":
            whole, _, fraction = text.partition(".")
            unscaled = float(int(whole + fraction or "0"))
            digits = max(len((whole + fraction).lstrip("0")), len(fraction), 1)
            return Value(
                "decimal",
                graph.constant([unscaled]),
                constant=float(text),
                digits=digits,
                scale=len(fraction),
            )
        number = float(np.float32(text)) if literal.kind == "float" else float(text)
        return Value(literal.kind, graph.constant([number]), constant=number)

    def _cast(self, value: Value, wanted: str) -> Value:
        graph, operators = self._graph, self._operators
        if value.type == wanted:
            return value
        if value.type == "string":
            raise unsupported(f"a cast of text to {wanted}", "give the function a number, cast in features()")
        if wanted == "boolean":
            zero = graph.op("Equal", value.tensor, graph.constant(0.0))
            return operators.boolean(graph.op("Not", zero), value)
        if value.type == "boolean":
            value = operators.as_number(value)
        if wanted in ("double", "float"):
            return as_type(graph, value, wanted)  # type: ignore[arg-type]
        return self._cut(value, wanted)

    def _cut(self, value: Value, wanted: str) -> Value:
        """A number as int or long, cut toward zero; Spark raises where it does not fit, for NaN too."""
        graph, masks = self._graph, self._operators.masks
        kept = value.type in ("int", "null") or (value.type, wanted) == ("long", "long")
        value = as_type(graph, value, "double")
        size = graph.op("Floor", graph.op("Abs", value.tensor))
        cut = graph.op("Mul", graph.op("Sign", value.tensor), size)
        made = self._operators.strict(wanted, cut, value)  # type: ignore[arg-type]
        if kept:
            return made
        least, most = _INT if wanted == "int" else _LONG
        fits = graph.op(
            "And",
            graph.op("LessOrEqual", cut, graph.constant(most)),
            graph.op("GreaterOrEqual", cut, graph.constant(least)),
        )
        failed = masks.without(graph.op("Not", fits), value.null)
        return replace(made, error=masks.any(made.error, failed))
