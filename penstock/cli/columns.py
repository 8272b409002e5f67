"""What the columns of a CSV hold, found by reading it once."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from penstock.errors import DataError

Type = Literal["string", "long", "double", "boolean", "timestamp", "empty"]
#: What a source reads as null unless its spec says otherwise (penstock.spec.sources.Files).
NULL = ("", "NA")
#: So many different values of a column are remembered; one with more has `values` None.
_REMEMBERED = 1000
# The same texts as in collecting (jobs/collect): a leading zero makes a code, not a number.
_LONG = re.compile(r"-?(0|[1-9]\d{0,17})")
_DOUBLE = re.compile(
    r"-?(0|[1-9]\d*)|-?(0|[1-9]\d*)?\.\d+|-?(0|[1-9]\d*)\.|-?(0|[1-9]\d*)(\.\d*)?[eE][-+]?\d{1,3}"
    r"|-?(inf|Inf|Infinity)|nan|NaN"
)
_BOOLEAN = re.compile(r"true|false|True|False|TRUE|FALSE")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*")
#: The narrowest first.
_TYPES: dict[str, Type] = {
    "boolean": "boolean", "long": "long", "double": "double", "date": "timestamp", "timestamp": "timestamp",
}  # fmt: skip
_TEXTS: dict[str, re.Pattern[str]] = {
    "long": _LONG, "double": _DOUBLE, "boolean": _BOOLEAN, "date": _DATE, "timestamp": _TIME,
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column: its type (a day is a timestamp too: midnight), its nulls, its values where they are few, and the first and last time in it (UTC)."""

    name: str
    type: Type
    nulls: int
    unique: bool
    values: frozenset[str] | None
    first: datetime | None = None
    last: datetime | None = None


@dataclass(frozen=True)
class Table:
    """A CSV's columns in order, and its number of rows."""

    columns: list[Column]
    rows: int


def read(path: Path) -> Table:
    """Read a CSV (compressed too, by its suffix) once. Raises DataError where it is no table."""
    try:
        return _read(path)
    except (OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path} cannot be read as CSV: {reason}", next_step="give a CSV in UTF-8 with a header"
        ) from None


def _read(path: Path) -> Table:
    lines = _lines(path)
    header = next(lines, None)
    if not header:
        raise DataError(f"{path} is empty: expected a header and rows", next_step="give a CSV with a header")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"{path} has a column twice: {', '.join(twice)}", next_step="rename one of them")
    seen = [_Seen() for _ in header]
    rows = 0
    for number, values in enumerate(lines, 2):
        if not values:
            continue
        if len(values) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(values)} values, expected {len(header)} as in the header",
                next_step="mend that line: a comma inside a value needs quotes around it",
            )
        rows += 1
        for column, value in zip(seen, values, strict=True):
            column.add(value)
    return Table([column.done(name, rows) for name, column in zip(header, seen, strict=True)], rows)


def _lines(path: Path) -> Iterator[list[str]]:
    import fsspec

    with fsspec.open(str(path), "rt", compression="infer", encoding="utf-8-sig", newline="") as file:
        yield from csv.reader(file)


class _Seen:
    """What is known of a column so far."""

    def __init__(self) -> None:
        self._nulls = 0
        self._fits = set(_TEXTS)
        self._distinct: set[str] | None = set()
        self._values: set[str] | None = set()
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, value: str) -> None:
        if value in NULL:
            self._nulls += 1
            return
        if self._distinct is not None:
            if value in self._distinct:
                self._distinct = None  # no id, so there is no need to remember more
            else:
                self._distinct.add(value)
        if self._values is not None:
            self._values.add(value)
            if len(self._values) > _REMEMBERED:
                self._values = None
        self._fits -= {each for each in self._fits if not _fits(value, each)}
        if self._fits & {"timestamp", "date"}:
            at = datetime.fromisoformat(value)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
            self._first = at if self._first is None else min(self._first, at)
            self._last = at if self._last is None else max(self._last, at)

    def done(self, name: str, rows: int) -> Column:
        type_: Type = (
            "empty"
            if self._nulls == rows
            else next((_TYPES[each] for each in _TYPES if each in self._fits), "string")
        )
        timed = type_ == "timestamp"
        return Column(
            name=name,
            type=type_,
            nulls=self._nulls,
            unique=self._distinct is not None and not self._nulls and rows > 0,
            values=None if self._values is None else frozenset(self._values),
            first=self._first if timed else None,
            last=self._last if timed else None,
        )


def _fits(value: str, type_: str) -> bool:
    if not _TEXTS[type_].fullmatch(value):
        return False
    if type_ not in ("date", "timestamp"):
        return True
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
