"""Each expectation's verdict as a value: what was expected, what was seen, and the rows that offend."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from jobs.validate.suite import named_columns

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.validator.v1_validator import Validator

#: The most offending rows that are kept of an expectation.
ROWS = 20
#: Counts and observed values only; the rows are asked for where an expectation failed.
BRIEF: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": ROWS}
WITH_ROWS: dict[str, Any] = {**BRIEF, "include_unexpected_rows": True}
#: The most unexpected values that are said in a line.
_VALUES = 5
#: Arguments that are not part of what is expected.
_INCIDENTAL = ("batch_id", "strict_min", "strict_max")


class Check(BaseModel):
    """One expectation and its verdict. `severity`: critical stops the run, warning and info are recorded.

    `error` is set where it could not be evaluated (a number against text), which is no success either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    expectation: str
    kwargs: dict[str, Any]
    severity: str
    passed: bool
    observed: str
    rows: list[dict[str, Any]] = []
    error: str | None = None

    @property
    def title(self) -> str:
        """The expectation with its arguments, as a call."""
        arguments = ", ".join(f"{key}={json.dumps(value, default=str)}" for key, value in self.kwargs.items())
        return f"{self.expectation}({arguments})"


def evaluate(
    suite: ExpectationSuite, validator: Validator, whole: Collection[str]
) -> Iterator[tuple[Check, ExpectationValidationResult]]:
    """Evaluate a suite's expectations one by one: each gives its check, and Great Expectations' own result.

    `whole` names the columns of whole numbers, which pandas holds as doubles where there are nulls.
    """
    for expectation in suite.expectations:
        columns = named_columns(expectation)
        validator.result_format = BRIEF
        result = validator.validate_expectation(expectation)
        # Data Docs fail on numpy's numbers.
        result.result = _plain(result.result)
        rows: list[dict[str, Any]] = []
        if not result.success and result.result.get("unexpected_count"):
            validator.result_format = WITH_ROWS
            found = validator.validate_expectation(expectation).result.get("unexpected_rows")
            rows = _rows(found, columns, whole)
        yield _check(expectation, result, rows, set(columns) <= set(whole)), result


def _check(
    expectation: Expectation, result: ExpectationValidationResult, rows: list[dict[str, Any]], whole: bool
) -> Check:
    configuration = expectation.configuration
    error = None if result.result else _reason(result.exception_info)
    return Check(
        expectation=configuration.type,
        kwargs={key: _plain(value) for key, value in configuration.kwargs.items() if key not in _INCIDENTAL},
        severity=str(getattr(configuration.severity, "value", configuration.severity)),
        passed=bool(result.success),
        observed=error or _observed(result.result, whole),
        rows=rows,
        error=error,
    )


def _observed(result: Mapping[str, Any], whole: bool) -> str:
    if "unexpected_count" in result:
        found = [_whole(value) if whole else value for value in result.get("partial_unexpected_list") or []]
        values = list(dict.fromkeys(str(value) for value in found))
        some = f": {', '.join(values[:_VALUES])}{', …' if len(values) > _VALUES else ''}" if values else ""
        return f"{result['unexpected_count']:,} of {result['element_count']:,} rows unexpected{some}"
    value = result.get("observed_value")
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _reason(exceptions: Mapping[str, Any] | None) -> str:
    """Why an expectation could not be evaluated: the first line of the first exception's message."""
    details = exceptions or {}
    first = details if "exception_message" in details else next(iter(details.values()), {})
    lines = str(first.get("exception_message") or "no reason given").strip().splitlines()
    return f"cannot be evaluated: {lines[0]}"


def _rows(found: Any, first: list[str], whole: Collection[str]) -> list[dict[str, Any]]:
    """Rows of either engine as plain dicts, the columns in question first."""
    if found is None:
        return []
    records = found.to_dict("records") if hasattr(found, "to_dict") else [dict(row) for row in found]
    ordered = []
    for record in records[:ROWS]:
        plain = {name: _plain(record[name]) for name in [*first, *record] if name in record}
        ordered.append({name: _whole(value) if name in whole else value for name, value in plain.items()})
    return ordered


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> Any:
    """A JSON value: numpy's numbers as Python's, missing ones as null, times as ISO 8601."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value != value:  # NaN and NaT differ from themselves
        return None
    if isinstance(value, datetime):
        # pandas says UTC; Spark gives the local time of this machine without a zone.
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and math.isinf(value):  # JSON has no word for it
        return str(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)
