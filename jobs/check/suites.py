"""A pipeline's suites: that they load, and name expectations and columns that there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock import suites
from penstock.findings import Checked, Finding
from penstock.settings import Settings

_COLUMNS = ("column", "column_A", "column_B")
_COLUMN_LISTS = ("column_list", "column_set")


def check(pipeline: Checked, here: Settings) -> list[Finding]:
    """What is wrong with the suites of a pipeline; a source without one is a warning."""
    placed = [
        (suites.path(here.expectations, pipeline.suites, source), columns)
        for source, columns in pipeline.sources.items()
    ]
    return [
        *suites.misplaced(pipeline.name, pipeline.suites, pipeline.sources, here.expectations),
        *(
            finding
            for path, columns in placed
            for finding in _suite(path, columns, f"expectations/{pipeline.suites}/{path.name}")
        ),
    ]


def _suite(path: Path, columns: list[str], where: str) -> Iterator[Finding]:
    if not path.is_file():
        yield _finding("warning", where, "there is no suite, so nothing is asked of this source", "write one")
        return
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        yield _finding("error", where, f"it is no JSON: {error}", "mend the file")
        return
    expectations = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(expectations, list) or not isinstance(suite.get("name"), str):
        found = f"keys {', '.join(suite)}" if isinstance(suite, dict) else type(suite).__name__
        yield _finding(
            "error", where, f"it is no suite (found: {found})", 'write {"name": ..., "expectations": [...]}'
        )
        return
    for number, expectation in enumerate(expectations):
        yield from _expectation(expectation, columns, f"{where}: expectation {number + 1}")


def _expectation(expectation: Any, columns: list[str], where: str) -> Iterator[Finding]:
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations import core  # noqa: F401 - registers the types
    from great_expectations.expectations.registry import get_expectation_impl

    kind = expectation.get("type") if isinstance(expectation, dict) else None
    if not isinstance(kind, str):
        yield _finding("error", where, "it has no type", 'write {"type": "expect_...", "kwargs": {...}}')
        return
    try:
        make = get_expectation_impl(kind)
    except ExpectationNotFoundError:
        yield _finding("error", where, f"Great Expectations knows no {kind!r}", "correct its type")
        return
    kwargs = expectation.get("kwargs", {})
    extra = {"severity": expectation["severity"]} if "severity" in expectation else {}
    try:
        make(**kwargs, **extra)
    except Exception as error:  # Great Expectations raises its pydantic's errors, whichever pydantic that is
        yield _finding("error", where, f"{kind} cannot be made: {_one_line(error)}", "correct its kwargs")
        return
    unknown = sorted(set(_named(kwargs)) - set(columns)) if columns else []
    if unknown:
        yield _finding(
            "warning",
            where,
            f"{kind} names {', '.join(unknown)}, which the spec does not declare (declared: {', '.join(columns)})",
            "correct the column, or declare it",
        )


def _named(kwargs: dict[str, Any]) -> Iterator[str]:
    """The columns that an expectation's arguments name."""
    yield from (kwargs[name] for name in _COLUMNS if isinstance(kwargs.get(name), str))
    for name in _COLUMN_LISTS:
        if isinstance(kwargs.get(name), list):
            yield from kwargs[name]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _finding(severity: Any, where: str, message: str, next_step: str) -> Finding:
    return Finding(severity=severity, where=where, message=message, next_step=next_step)
