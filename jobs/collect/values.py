"""Rows of Python values (JSON, SQL) as Arrow columns, each of the one kind that its values have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa

from penstock.errors import DataError

_LONG = 2**63


def column(values: Sequence[Any], *, declared: str | None, where: str) -> pa.Array:
    """One column: null, boolean, long, double, date, timestamp (UTC) or text.

    Values of several kinds become text where the column's type is declared (they are parsed as that type later).
    Raises DataError where it is not, as guessing would depend on which rows come first, and for bytes.
    """
    plain = [_plain(value, where) for value in values]
    types = {type(value) for value in plain if value is not None}
    if declared == "string":
        return pa.array([None if value is None else _text(value) for value in plain], pa.string())
    if types <= {bool}:
        return pa.array(plain, pa.bool_() if types else pa.null())
    if types == {int}:
        return pa.array(plain, pa.int64())
    if types <= {int, float}:
        return pa.array([None if value is None else float(value) for value in plain], pa.float64())
    if types == {str}:
        return pa.array(plain, pa.string())
    if types == {date}:
        return pa.array(plain, pa.date32())
    if types <= {date, datetime}:
        return pa.array([_moment(value) for value in plain], pa.timestamp("us"))
    if declared is None:
        raise mixed(where, sorted(type_.__name__ for type_ in types))
    return pa.array([None if value is None else _text(value) for value in plain], pa.string())


def mixed(where: str, kinds: Sequence[str]) -> DataError:
    """The error of a column whose values have no common type."""
    return DataError(
        f"{where} holds values of several types: {', '.join(kinds)}",
        next_step="declare its type in columns=, or let the source give one type",
    )


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -_LONG <= value < _LONG else float(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (UUID, time)):
        return str(value)
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, (float, str, date)):
        return value
    raise DataError(
        f"{where} holds {type(value).__name__} values, which cannot be kept",
        next_step="leave it out, or turn it into text or a number in the query",
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def _moment(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day)
