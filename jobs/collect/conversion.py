"""One value after another into a column's type: exactly, or not at all.

Text is parsed (timestamps and dates as ISO 8601, a timestamp without a zone is UTC), typed values are converted
where nothing is lost. NaN becomes null here: to everything that follows, a number is there or it is not.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from jobs.collect import kinds
from jobs.collect.kinds import ARROW

#: What text of each type looks like, for messages.
EXPECTED = {
    "string": "text",
    "double": "a number",
    "float": "a number",
    "long": "a whole number of at most 64 bits",
    "int": "a whole number of at most 32 bits",
    "boolean": "true or false (or 1 or 0)",
    "timestamp": "a time as in 2013-06-01T10:00:00Z (ISO 8601; without a zone it is UTC)",
    "date": "a day as in 2013-06-01",
}
_ZONED = r"[0-9]{2}(:[0-9]{2}){1,2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_YES, _NO = ["true", "1"], ["false", "0"]


class BadValue(Exception):
    """The first value that cannot become `wanted`: its place in the array, from 0, and itself."""

    def __init__(self, index: int, value: object, wanted: str) -> None:
        super().__init__(f"value {index} is no {wanted}: {value!r}")
        self.index = index
        self.value = value
        self.wanted = wanted


def convert(values: pa.Array, wanted: str) -> pa.Array:
    """`values` as the column type `wanted`. Raises BadValue for the first value that does not fit it."""
    try:
        return _convert(values, wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        index = _first_bad(values, lambda part: _convert(part, wanted))
        raise BadValue(index, values[index].as_py(), wanted) from None


def to_text(values: pa.Array) -> pa.Array:
    """Bytes as text. Raises BadValue for the first that is not UTF-8."""
    try:
        return pc.cast(values, pa.string())
    except pa.ArrowInvalid:
        index = _first_bad(values, lambda part: pc.cast(part, pa.string()))
        raise BadValue(index, values[index].as_py(), "string") from None


def _convert(values: pa.Array, wanted: str) -> pa.Array:
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), ARROW[wanted])
    if pa.types.is_dictionary(values.type):
        values = pc.cast(values, values.type.value_type)
    converted = _parse(values, wanted) if kinds.is_text(values.type) else _cast(values, wanted)
    if wanted in ("double", "float"):
        converted = pc.if_else(pc.is_nan(converted), pa.scalar(None, converted.type), converted)
    return converted


def _cast(values: pa.Array, wanted: str) -> pa.Array:
    kind = kinds.of_type(values.type)
    if wanted == "timestamp" and kind in ("date", "timestamp"):
        # Nanoseconds are cut to microseconds, which is all that Spark keeps.
        return pc.cast(pc.cast(values, pa.timestamp("us", tz=values.type.tz if kind == "timestamp" else None),
                               safe=False), ARROW[wanted])  # fmt: skip
    if wanted in ("double", "float") and kind in ("int", "long", "float", "double"):
        return pc.cast(values, ARROW[wanted], safe=False)
    lossless = {
        "string": kind in ("int", "long", "boolean"),
        "long": kind in ("int", "long", "float", "double"),
        "int": kind in ("int", "long", "float", "double"),
        "boolean": kind == "boolean",
        "date": kind == "date",
    }
    if not lossless.get(wanted, False):
        raise pa.ArrowInvalid(f"{values.type} is no {wanted}")
    if wanted in ("long", "int") and kind in ("float", "double"):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return pc.cast(values, ARROW[wanted])


def _parse(text: pa.Array, wanted: str) -> pa.Array:
    text = pc.cast(text, pa.string())
    if wanted == "string":
        return text
    if wanted == "timestamp":
        return _parse_timestamps(text)
    if wanted == "boolean":
        return _parse_booleans(text)
    if wanted in ("long", "int"):
        # Arrow would read 0x1F as a whole number.
        text = pc.if_else(pc.match_substring(text, "x", ignore_case=True), "not a number", text)
    return pc.cast(text, ARROW[wanted])


def _parse_timestamps(text: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(text, r"(\.[0-9]{6})[0-9]+", r"\1")
    zoned = pc.match_substring_regex(text, _ZONED)
    missing = pa.scalar(None, pa.string())
    with_zone = pc.cast(pc.ascii_upper(pc.if_else(zoned, text, missing)), pa.timestamp("us", tz="UTC"))
    without = pc.cast(pc.if_else(zoned, missing, text), pa.timestamp("us"))
    return pc.coalesce(with_zone, pc.cast(without, pa.timestamp("us", tz="UTC")))


def _parse_booleans(text: pa.Array) -> pa.Array:
    lower = pc.ascii_lower(text)
    yes = pc.is_in(lower, value_set=pa.array(_YES))
    known = pc.or_(yes, pc.is_in(lower, value_set=pa.array(_NO)))
    if not pc.all(pc.or_(known, pc.is_null(text))).as_py():
        raise pa.ArrowInvalid("no boolean")
    return pc.if_else(known, yes, pa.scalar(None, pa.bool_()))


def _first_bad(values: pa.Array, attempt: Callable[[pa.Array], object]) -> int:
    """The index of the first value that `attempt` refuses, given that it refuses the whole."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            attempt(values.slice(low, middle - low))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            high = middle
        else:
            low = middle
    return low
