"""Arithmetic, comparison and logic by Spark's rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import rounded_to_float
from jobs.bundle.graph import Graph
from jobs.bundle.sql.errors import unsupported
from jobs.bundle.sql.values import NUMERIC, WHOLE, Masks, Type, Value, alike, as_type, decimal

_DOUBLE = TensorProto.DOUBLE
_ARITHMETIC = {"+": "Add", "-": "Sub", "*": "Mul"}


class Operators:
    """The operators over one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.masks = Masks(graph)

    # What every operator that looks at all its operands has in common.

    def strict(self, kind: Type, tensor: str, *operands: Value, nan: bool = False) -> Value:
        """A result that is null where any operand is and fails where an operand fails before a null is met."""
        error: str | None = None
        null: str | None = None
        lineage = operands[0].lineage
        for operand in operands:
            # Spark looks at the next operand only where none before it was null.
            error = self.masks.any(error, self.masks.without(operand.error, null))
            null = self.masks.any(null, operand.null)
            lineage |= operand.lineage
        return Value(kind, tensor, null, error, nan, lineage)

    def boolean(self, tensor: str, *operands: Value) -> Value:
        """A strict boolean result, made False where it is null."""
        made = self.strict("boolean", tensor, *operands)
        return replace(made, tensor=self.masks.without(tensor, made.null) or tensor)

    def numbers(self, sign: str, *operands: Value) -> None:
        """Raise UnsupportedSql if an operand is no number."""
        for operand in operands:
            if operand.type not in (*NUMERIC, "null"):
                raise unsupported(
                    f"{sign} of a {operand.type}", "cast it (CAST(x AS DOUBLE)) if it is a number"
                )

    # Arithmetic.

    def arithmetic(self, sign: str, left: Value, right: Value) -> Value:
        """`+ - *`."""
        self.numbers(sign, left, right)
        graph = self.graph
        if (
            sign == "*"
            and "decimal" in (left.type, right.type)
            and not {"float", "double"} & {left.type, right.type}
        ):
            left, right = as_type(graph, left, "decimal"), as_type(graph, right, "decimal")
            tensor = graph.op("Mul", left.tensor, right.tensor)
            digits, scale = left.digits + right.digits + 1, left.scale + right.scale
            return decimal(self.strict("decimal", tensor, left, right), tensor, digits, scale)
        left, right = alike(graph, [left, right])
        tensor = graph.op(_ARITHMETIC[sign], left.tensor, right.tensor)
        if left.type == "decimal":
            digits = max(left.whole_digits, right.whole_digits) + left.scale + 1
            return decimal(self.strict("decimal", tensor, left, right), tensor, digits, left.scale)
        if left.type == "float":
            tensor = rounded_to_float(graph, tensor)
        return self.strict(left.type, tensor, left, right, nan=self._may_be_nan(sign, left, right))

    @staticmethod
    def _may_be_nan(sign: str, left: Value, right: Value) -> bool:
        if left.type not in ("float", "double"):
            return False
        # inf - inf and 0 * inf are NaN; with a finite constant (not 0, for a product) on one side neither can be.
        tame = any(
            side.constant is not None and (sign != "*" or side.constant != 0) for side in (left, right)
        )
        return left.nan or right.nan or not tame

    def divide(self, left: Value, right: Value) -> Value:
        """`/`: double, of floats too, except between decimals."""
        self.numbers("/", left, right)
        kinds = {left.type, right.type}
        if "decimal" in kinds and not kinds & {"float", "double"}:
            raise unsupported(
                f"{left.type} / {right.type} is a decimal division, which Spark rounds to few digits",
                "write the number as double (2.0D instead of 2.0), or CAST(x AS DOUBLE)",
            )
        left, right = (as_type(self.graph, side, "double") for side in (left, right))
        tensor = self.graph.op("Div", left.tensor, right.tensor)
        tame = right.constant is not None and not right.nan
        made = self.strict("double", tensor, left, right, nan=left.nan or not tame)
        return self._unless_zero(made, right)

    def remainder(self, left: Value, right: Value) -> Value:
        """`%`: the sign of the left operand, as in Java."""
        self.numbers("%", left, right)
        left, right = alike(self.graph, [left, right])
        tensor = self.graph.op("Mod", left.tensor, right.tensor, fmod=1)
        made = self.strict(left.type, tensor, left, right, nan=left.type in ("float", "double"))
        return self._unless_zero(replace(made, digits=left.digits, scale=left.scale), right)

    def whole_division(self, left: Value, right: Value) -> Value:
        """`DIV` of whole numbers, cut toward zero."""
        if {left.type, right.type} - set(WHOLE) - {"null"}:
            raise unsupported(
                f"{left.type} DIV {right.type}", "DIV divides whole numbers here; cast both to BIGINT"
            )
        rest = self.graph.op("Mod", left.tensor, right.tensor, fmod=1)
        tensor = self.graph.op("Div", self.graph.op("Sub", left.tensor, rest), right.tensor)
        return self._unless_zero(self.strict("long", tensor, left, right), right)

    def _unless_zero(self, made: Value, divisor: Value) -> Value:
        if divisor.constant:
            return made
        zero = self.graph.op("Equal", divisor.tensor, self.graph.constant(0.0))
        return replace(made, error=self.masks.any(made.error, self.masks.without(zero, made.null)))

    def negative(self, value: Value) -> Value:
        """Unary minus."""
        self.numbers("-", value)
        constant = None if value.constant is None else -value.constant
        return replace(value, tensor=self.graph.op("Neg", value.tensor), constant=constant)

    # Comparison: NaN equals NaN and is greater than any number.

    def equal(self, left: Value, right: Value) -> Value:
        """`=`."""
        left, right = alike(self.graph, [left, right])
        return self.boolean(self._same(left, right), left, right)

    def _same(self, left: Value, right: Value) -> str:
        if left.type == "null":
            return self.graph.constant([False], np.bool_)
        same = self.graph.op("Equal", left.tensor, right.tensor)
        if left.nan and right.nan:
            nans = self.graph.op("And", *(self.graph.op("IsNaN", side.tensor) for side in (left, right)))
            same = self.graph.op("Or", same, nans)
        return same

    def less(self, left: Value, right: Value) -> Value:
        """`<`."""
        left, right = self._ordered("<", left, right)
        return self.boolean(self._below(left, right), left, right)

    def less_or_equal(self, left: Value, right: Value) -> Value:
        """`<=`: not greater, for the order is total."""
        left, right = self._ordered("<=", left, right)
        return self.boolean(self.graph.op("Not", self._below(right, left)), left, right)

    def _ordered(self, sign: str, left: Value, right: Value) -> list[Value]:
        both = alike(self.graph, [left, right])
        if both[0].type == "string":
            raise unsupported(
                f"the order of text ({sign})", "compare text for equality, or derive a number of it"
            )
        if both[0].type in ("boolean", "null"):
            both = [self.as_number(side) for side in both]
        return both

    def as_number(self, value: Value) -> Value:
        """A boolean or null as double, 1.0 for true."""
        if value.type == "boolean":
            return replace(value, type="double", tensor=self.graph.cast(value.tensor, _DOUBLE))
        return as_type(self.graph, value, "double")

    def _below(self, left: Value, right: Value) -> str:
        below = self.graph.op("Less", left.tensor, right.tensor)
        if right.nan:
            above_all = self.graph.op("IsNaN", right.tensor)
            if left.nan:
                above_all = self.graph.op(
                    "And", above_all, self.graph.op("Not", self.graph.op("IsNaN", left.tensor))
                )
            below = self.graph.op("Or", below, above_all)
        return below

    def null_safe_equal(self, left: Value, right: Value) -> Value:
        """`<=>`: two nulls are equal, and the result is never null."""
        left, right = alike(self.graph, [left, right])
        same = self.boolean(self._same(left, right), left, right)
        tensor = self.masks.any(same.tensor, self.masks.both(left.null, right.null)) or same.tensor
        return replace(same, tensor=tensor, null=None, error=self.masks.any(left.error, right.error))

    # Logic of three values.

    def negate(self, value: Value) -> Value:
        """NOT."""
        value = self.truth("NOT", value)
        return replace(
            value, tensor=self.graph.op("Not", self.masks.any(value.tensor, value.null) or value.tensor)
        )

    def conjunction(self, left: Value, right: Value) -> Value:
        """AND; the right side is not looked at where the left one is false."""
        left, right = self.truth("AND", left), self.truth("AND", right)
        masks = self.masks
        possible = masks.any(left.tensor, left.null)
        null = masks.any(
            masks.both(left.null, masks.any(right.tensor, right.null)), masks.both(left.tensor, right.null)
        )
        error = masks.any(left.error, masks.both(possible, right.error))
        tensor = self.graph.op("And", left.tensor, right.tensor)
        return Value("boolean", tensor, null, error, lineage=left.lineage | right.lineage)

    def disjunction(self, left: Value, right: Value) -> Value:
        """OR; the right side is not looked at where the left one is true."""
        left, right = self.truth("OR", left), self.truth("OR", right)
        masks = self.masks
        tensor = self.graph.op("Or", left.tensor, right.tensor)
        null = masks.without(masks.any(left.null, right.null), tensor)
        error = masks.any(left.error, masks.without(right.error, left.tensor))
        return Value("boolean", tensor, null, error, lineage=left.lineage | right.lineage)

    def truth(self, word: str, value: Value) -> Value:
        """A boolean operand. Raises UnsupportedSql if it is none."""
        if value.type == "null":
            return as_type(self.graph, value, "boolean")
        if value.type != "boolean":
            raise unsupported(f"{word} of a {value.type}", "compare it first (x <> 0)")
        return value

    def choose(self, condition: Value, then: Value, otherwise: Value) -> Value:
        """`then` where the condition is true, else `otherwise`; only the chosen one can fail."""
        condition = self.truth("WHEN", condition)
        then, otherwise = alike(self.graph, [then, otherwise])
        if then.type == "null":
            then, otherwise = (as_type(self.graph, side, "double") for side in (then, otherwise))
        masks, where = self.masks, condition.tensor
        if then.type == "boolean":  # ONNX Runtime has no Where of booleans
            tensor = masks.choose(where, then.tensor, otherwise.tensor) or where
        else:
            tensor = self.graph.where(where, then.tensor, otherwise.tensor)
        return Value(
            then.type,
            tensor,
            masks.choose(where, then.null, otherwise.null),
            masks.any(condition.error, masks.choose(where, then.error, otherwise.error)),
            then.nan or otherwise.nan,
            condition.lineage | then.lineage | otherwise.lineage,
            digits=max(then.digits, otherwise.digits),
            scale=then.scale,
        )
