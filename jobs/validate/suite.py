"""A suite as a file: read, checked against the columns there are, before anything is evaluated."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.errors import DataError, SpecError

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.expectation import Expectation

_SINGLE = ("column", "column_A", "column_B")
#: Expectations that are about which columns there are: for them a missing one is a verdict, not a mistake.
_ABOUT_COLUMNS = (
    "expect_column_to_exist", "expect_table_columns_to_match_set", "expect_table_columns_to_match_ordered_list",
)  # fmt: skip
#: What a comparison of columns does where one is null: SQL says unknown, pandas says unequal. We say: no verdict.
_PAIRS = {"expect_column_pair": "either_value_is_missing", "expect_multicolumn": "any_value_is_missing"}


def load_suite(path: Path) -> ExpectationSuite:
    """The suite of a JSON file in Great Expectations' own format (`name`, `expectations`).

    An expectation over several columns leaves rows out in which one is null, unless it says otherwise
    (`ignore_row_if`): only so the engines agree. Raises SpecError where the file is no suite.
    """
    from great_expectations import ExpectationSuite

    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        # Built one by one: ExpectationSuite logs an expectation it cannot build, and goes on without it.
        expectations = [_build(dict(expectation)) for expectation in value["expectations"]]
        suite = ExpectationSuite(name=value["name"], expectations=expectations, meta=value.get("meta"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_suite(path, error) from None
    except Exception as error:
        if not type(error).__module__.startswith("great_expectations"):
            raise
        raise _no_suite(path, error) from None
    if not suite.expectations:
        raise SpecError(f"the suite {path} holds no expectation", next_step="add one, or remove the file")
    return suite


def check_columns(suite: ExpectationSuite, columns: Sequence[str], subject: str) -> None:
    """Raises DataError naming each column that the suite names and the data does not have."""
    faults = []
    for expectation in suite.expectations:
        if expectation.expectation_type in _ABOUT_COLUMNS:
            continue
        for name in named_columns(expectation):
            if name not in columns:
                close = difflib.get_close_matches(name, columns, n=1)
                hint = f" (is it {close[0]!r} now?)" if close else ""
                faults.append(f"{name!r} in {expectation.expectation_type}{hint}")
    if faults:
        raise DataError(
            f"the suite {suite.name!r} names columns that {subject} does not have: {'; '.join(faults)}. "
            f"Its columns are {', '.join(columns)}",
            next_step="if a column was renamed at the source, rename it in the suite; else ask why it is gone",
        )


def named_columns(expectation: Expectation) -> list[str]:
    """The columns that an expectation is about."""
    kwargs = expectation.configuration.kwargs
    single = [kwargs[key] for key in _SINGLE if kwargs.get(key)]
    several = kwargs.get("column_list") or []
    return [str(name) for name in [*single, *several]]


def _build(value: dict[str, Any]) -> Expectation:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    # An id belongs to the store that gave it; from elsewhere it would be refused.
    value.pop("id", None)
    kwargs = dict(value.pop("kwargs", {}))
    for prefix, missing in _PAIRS.items():
        if value["type"].startswith(prefix):
            kwargs.setdefault("ignore_row_if", missing)
    return ExpectationConfiguration(kwargs=kwargs, **value).to_domain_obj()


def _no_suite(path: Path, error: BaseException) -> SpecError:
    text = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
    return SpecError(
        f"{path} is no suite of Great Expectations: {text}",
        next_step='write {"name": ..., "expectations": [{"type": ..., "kwargs": {...}, "severity": ...}, ...]}',
    )
