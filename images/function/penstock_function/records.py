"""From JSON records to the columns a model reads, or the faults that say which field of which row is wrong."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt

from penstock_function.package import Field, FieldType

Columns = dict[str, npt.NDArray[Any]]
# The values of one record in the order of the fields.
Row = tuple[Any, ...]

# ONNX strings have no null. Spark's StringIndexer treats null and an unseen category alike, and no
# category that was read from text holds a NUL character.
NULL = "\u0000"

MAX_FAULTS = 20  # enough to see the pattern; the scan stops there, so a bad body costs little

_FLOAT_MAX = float(np.finfo(np.float32).max)
# What the fast path lets pass. The model reads doubles, which hold every whole number up to 2**53; as
# 2**53 + 1 rounds to 2**53, that one gets the exact look.
_LIMIT: dict[FieldType, float] = {
    "double": sys.float_info.max,
    "float": _FLOAT_MAX,
    "long": 2.0**53 - 1,
    "int": 2.0**31 - 1,
    "boolean": 1.0,
}
_EXPECTED: dict[FieldType, str] = {
    "string": "a string or null",
    "double": "a finite number or null",
    "float": f"a number from {-_FLOAT_MAX:.7g} to {_FLOAT_MAX:.7g}, or null",
    "long": f"a whole number from {-(2**53)} to {2**53}, or null",
    "int": f"a whole number from {-(2**31)} to {2**31 - 1}, or null",
    "boolean": "true, false or null",
}
_NONE = type(None)
_NUMBER = {float, int, _NONE}
# What the usual body holds, for the parser that checks types as it reads.
_JSON: dict[FieldType, Any] = {
    "string": str | None,
    "double": float | None,
    "float": float | None,
    "long": int | None,
    "int": int | None,
    "boolean": bool | None,
}
#: A number may come as 3 or as 3.0: by these a value has its column's type.
CONVERT: dict[FieldType, Callable[[Any], Any]] = {
    "string": str, "double": float, "float": float, "long": int, "int": int, "boolean": bool,
}  # fmt: skip
# What JSON writes with an escape.
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
# The types that the fast path takes without looking at each value.
_PLAIN: dict[FieldType, set[type]] = {
    "string": {str, _NONE},
    "double": _NUMBER,
    "float": _NUMBER,
    "long": {int, _NONE},
    "int": {int, _NONE},
    "boolean": {bool, _NONE},
}


class Fault(TypedDict):
    """One wrong value: its row (from 0), its field ("" for the row itself), what is there and what may be."""

    row: int
    field: str
    found: str
    expected: str


class InputError(Exception):
    """The records cannot be scored; `faults` holds up to MAX_FAULTS of the reasons."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        first = self.faults[0]
        where = f"row {first['row']}" + (f", field {first['field']!r}" if first["field"] else "")
        sentence = f"{where}: found {first['found']}, expected {first['expected']}"
        others = len(self.faults) - 1
        if others:
            many = "or more " if len(self.faults) >= MAX_FAULTS else ""
            sentence += f" (and {others} {many}other faults)" if others > 1 else " (and 1 other fault)"
        super().__init__(sentence)


class Encoder:
    """Turns records into columns for one list of fields.

    The usual, right input is checked a column at a time with a few numpy calls, and read from JSON by a parser
    that knows the fields. Whatever these cannot vouch for is looked at again value by value, which either finds
    the faults or finds nothing wrong (3.0 for a whole number, say): there is one exact rule, `_right`, and a
    cheap way round it.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = tuple(fields)
        self._names = {field.name for field in fields}
        self._plans = [(field.name, field.type, _PLAIN[field.type]) for field in fields]
        names = [field.name for field in fields]
        # Of one name, itemgetter would give the value and not a tuple of it.
        self._values: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            itemgetter(*names) if len(names) > 1 else lambda record: (record[names[0]],)
        )
        self._strings = [field.name for field in fields if field.type == "string"]
        numbers = [field for field in fields if field.type != "string"]
        self._number_names = [field.name for field in numbers]
        self._limits = np.array([_LIMIT[field.type] for field in numbers], dtype=np.float64).reshape(-1, 1)
        self._singles = [row for row, field in enumerate(numbers) if field.type == "float"]
        # By such a name no field of a struct is read.
        self._decoders = None if any(map(_ESCAPED.search, names)) else _decoders(fields)

    def encode(self, records: Sequence[Mapping[str, Any]]) -> Columns:
        """Columns of N values each: float64 with NaN for null, or object arrays of str with NULL for null.

        Raises:
            InputError: a row is no object, a field is missing, unknown, of the wrong type or out of range.
        """
        columns = self._plain(records)
        if columns is None:
            faults = self.faults(records)
            if faults:
                raise InputError(faults)
            columns = self._exact(records)
        return columns

    def decode(self, body: bytes | bytearray) -> Columns | None:
        """As `encode`, straight from the JSON of one record or of an array of them, if every value is beyond doubt.

        None says nothing of the body: parse it and `encode` it, which finds out.
        """
        rows = self.read(body)
        return self.columns(rows) if rows else None

    def read(self, body: bytes | bytearray) -> list[Row] | None:
        """The rows of such a body where each value is of its column's type; None says nothing of it."""
        if self._decoders is None:
            return None
        one, many = self._decoders
        try:
            rows = many.decode(body) if body[:1] == b"[" else [one.decode(body)]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return list(map(msgspec.structs.astuple, rows))

    def row(self, record: Mapping[str, Any]) -> Row | None:
        """As `read`, of one record that is parsed already."""
        if len(record) != len(self._fields):
            return None
        try:
            row = self._values(record)
        except KeyError:
            return None
        usual = all(type(value) in plain for value, (_, _, plain) in zip(row, self._plans, strict=True))
        return row if usual else None

    def columns(self, rows: Sequence[Row]) -> Columns | None:
        """The columns of one or more rows that were read, or None where a value may be out of range."""
        return self._typed(list(zip(*rows, strict=True)))

    def _plain(self, records: Sequence[Mapping[str, Any]]) -> Columns | None:
        """The columns if every value is beyond doubt, otherwise None."""
        width = len(self._fields)
        for record in records:
            if type(record) is not dict or len(record) != width:
                return None
        try:
            values = list(zip(*map(self._values, records), strict=True))
        except KeyError:
            return None
        for (_, _, plain), column in zip(self._plans, values, strict=True):
            if not set(map(type, column)) <= plain:
                return None
        return self._typed(values)

    def _typed(self, values: Sequence[tuple[Any, ...]]) -> Columns | None:
        """The columns of values of the right types, or None where one may be out of range."""
        columns: Columns = {}
        rows = []
        nulls = 0
        for (name, kind, _), column in zip(self._plans, values, strict=True):
            if kind == "string":
                texts = columns[name] = _text(column, nulls=None in column)
                if not _is_unicode("".join(texts)):
                    return None
            else:
                nulls += column.count(None)
                rows.append(column)
        if rows:
            try:
                matrix = np.array(rows, dtype=np.float64)
            except OverflowError:  # a whole number beyond the largest double
                return None
            # Null became NaN, and NaN is not within any limit: as many values are beyond it as are null.
            if np.count_nonzero(np.abs(matrix) <= self._limits) != matrix.size - nulls:
                return None
            self._add_numbers(columns, matrix)
        return columns

    def _exact(self, records: Sequence[Mapping[str, Any]]) -> Columns:
        """The columns of records that were looked at value by value and found right."""
        columns: Columns = {
            name: _text([record[name] for record in records], nulls=True) for name in self._strings
        }
        rows = [[record[name] for record in records] for name in self._number_names]
        if rows:
            self._add_numbers(columns, np.array(rows, dtype=np.float64))
        return columns

    def _add_numbers(self, columns: Columns, matrix: npt.NDArray[np.float64]) -> None:
        # A Spark float column never held 0.1 but the single nearest to it, and splits are made of those.
        for row in self._singles:
            matrix[row] = matrix[row].astype(np.float32)
        columns.update(zip(self._number_names, matrix, strict=True))

    def faults(self, records: Sequence[Any]) -> list[Fault]:
        """What is wrong with records, by the exact rule; nothing where they can be encoded."""
        faults: list[Fault] = []

        def full(row: int, field: str, found: str, expected: str) -> bool:
            faults.append({"row": row, "field": field, "found": found, "expected": expected})
            return len(faults) >= MAX_FAULTS

        for row, record in enumerate(records):
            if not isinstance(record, Mapping):
                if full(row, "", describe(record), "an object with a value for each column"):
                    return faults
                continue
            for field in self._fields:
                if field.name not in record:
                    if full(row, field.name, "no such field", _EXPECTED[field.type]):
                        return faults
                elif not _right(record[field.name], field.type) and full(
                    row, field.name, describe(record[field.name]), _EXPECTED[field.type]
                ):
                    return faults
            for name in record:
                if name not in self._names and full(
                    row, str(name)[:100], "an unknown field", f"only the model's {len(self._fields)} columns"
                ):
                    return faults
        return faults


def _decoders(fields: Sequence[Field]) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[list[Any]]]:
    """What reads one record, and an array of them."""
    # Columns may have any name, a struct's attributes may not.
    row = msgspec.defstruct(
        "Row",
        [(f"column_{index}", _JSON[field.type]) for index, field in enumerate(fields)],
        rename={f"column_{index}": field.name for index, field in enumerate(fields)},
        forbid_unknown_fields=True,
        gc=False,
    )
    return msgspec.json.Decoder(row), msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


def _text(values: Sequence[Any], nulls: bool) -> npt.NDArray[Any]:
    if nulls:
        values = [NULL if value is None else value for value in values]
    return np.array(values, dtype=object)


def _right(value: Any, kind: FieldType) -> bool:
    """The exact rule: may `value` stand in a column of type `kind`?"""
    if value is None:
        return True
    if kind == "string":
        return isinstance(value, str) and _is_unicode(value)
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if kind == "int":
        return -(2**31) <= value < 2**31 and value == math.floor(value)
    if kind == "long":
        return abs(value) <= 2**53 and value == math.floor(value)
    return abs(value) <= _LIMIT[kind]


def _is_unicode(text: str) -> bool:
    """Whether `text` has no lone surrogate, which JSON and ONNX cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def describe(value: Any) -> str:
    """A JSON value in a few words, never longer than a line however large it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:40] + "…"
        return f"the string {shown!r}"
    if isinstance(value, float):
        return f"{value!r}"
    if isinstance(value, int):
        # Python refuses to print whole numbers of thousands of digits.
        return str(value) if value.bit_length() <= 128 else f"a whole number of {value.bit_length()} bits"
    if isinstance(value, Mapping):
        return f"an object with {len(value)} fields"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)} values"
    return f"a {type(value).__name__}"
