"""The kinds of values that columns hold, and how the kinds of all rows give a column's one type.

A kind is a property of a single value, and joining kinds is associative and commutative. So a column's type does
not depend on how its rows were cut into chunks, nor on their order.

Text (CSV) is read as what it looks like: `boolean` (true, false), `long` (whole numbers without leading zeros that
fit 64 bits), `double`, else `string`; dates stay text unless they are declared. Two kinds join to the wider one
(long and double give double), all others to string. Values that have a type (JSON, SQL, Parquet) keep it, and
kinds that have no common number or time are a DataError that asks for a declaration.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["null", "boolean", "long", "double", "float", "int", "date", "timestamp", "string"]

#: The Parquet type of each column type.
ARROW: dict[str, pa.DataType] = {
    "string": pa.string(), "double": pa.float64(), "float": pa.float32(), "long": pa.int64(), "int": pa.int32(),
    "boolean": pa.bool_(), "timestamp": pa.timestamp("us", tz="UTC"), "date": pa.date32(),
}  # fmt: skip

_NUMBERS: list[Kind] = ["int", "long", "float", "double"]
#: RE2 patterns of the text that is a boolean, a whole number, or a number with a point, exponent or special value.
BOOLEAN = r"^(true|false|True|False|TRUE|FALSE)$"
WHOLE = r"^-?(0|[1-9][0-9]{0,18})$"
DECIMAL = (
    r"^(-?(0|[1-9][0-9]*)?\.[0-9]+|-?(0|[1-9][0-9]*)\.|-?(0|[1-9][0-9]*)(\.[0-9]*)?[eE][-+]?[0-9]{1,3}"
    r"|-?(inf|Inf|Infinity)|nan|NaN)$"
)


def of_text(values: pa.Array) -> Kind:
    """The kind that all of a column's text values have in common (its nulls left out)."""
    values = pc.unique(values).drop_null()
    if len(values) == 0:
        return "null"
    if _all(values, BOOLEAN):
        return "boolean"
    whole = pc.match_substring_regex(values, WHOLE)
    if pc.all(whole).as_py():
        return "long" if _fits(values) else "string"
    if pc.all(pc.or_(whole, pc.match_substring_regex(values, DECIMAL))).as_py():
        return "double" if _fits(values.filter(whole)) else "string"
    return "string"


def of_type(type_: pa.DataType) -> Kind | None:
    """The kind of an Arrow type; None where a column cannot be kept (binary, nested, …)."""
    tests: list[tuple[Kind, bool]] = [
        ("null", pa.types.is_null(type_)),
        ("boolean", pa.types.is_boolean(type_)),
        ("int", pa.types.is_integer(type_) and type_.bit_width < 64 and type_ != pa.uint32()),
        ("long", pa.types.is_integer(type_)),
        ("float", pa.types.is_float32(type_) or pa.types.is_float16(type_)),
        ("double", pa.types.is_floating(type_) or pa.types.is_decimal(type_)),
        ("date", pa.types.is_date(type_)),
        ("timestamp", pa.types.is_timestamp(type_)),
        ("string", is_text(type_)),
    ]
    return next((kind for kind, holds in tests if holds), None)


def join_text(one: Kind, other: Kind) -> Kind:
    """The kind of a text column that holds values of both kinds."""
    wider = join_typed(one, other)
    return "string" if wider is None else wider


def join_typed(one: Kind, other: Kind) -> Kind | None:
    """The narrowest kind that holds the values of both, or None where there is none."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if one in _NUMBERS and other in _NUMBERS:
        # A float has 24 bits of whole numbers: beside whole numbers it becomes a double.
        return "double" if {"float", "double"} & {one, other} else "long"
    if {one, other} == {"date", "timestamp"}:
        return "timestamp"
    return None


def is_text(type_: pa.DataType) -> bool:
    """Whether an Arrow type holds text, in whichever of its layouts."""
    if pa.types.is_dictionary(type_):
        return is_text(type_.value_type)
    return bool(
        pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
    )


def _all(values: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(values, pattern)).as_py())


def _fits(whole: pa.Array) -> bool:
    try:
        pc.cast(whole, pa.int64())
    except pa.ArrowInvalid:
        return False
    return True
