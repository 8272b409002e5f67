"""How a step's end becomes a task's: what goes on, skips, fails for good, or is tried again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from penstock.record import Entry, Failure
from penstock_airflow.steps import raise_for


def entry(**fields: Any) -> Entry:
    return Entry(**{"stage": "train", "state": "ran", "why": "w", "ended": datetime.now(UTC), **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "ran"},
        {"state": "reused"},
        {"stage": "validate", "state": "skipped"},
        {"stage": "validate_model", "state": "refused"},
    ],
)
def test_what_goes_on(fields: dict[str, Any]) -> None:
    """Done, reused, no suites to check, and a refused model: the task is green."""
    raise_for(entry(**fields))


@pytest.mark.parametrize("stage", ["collect", "deploy"])
def test_what_skips(stage: str) -> None:
    """An empty interval, and the deployment of a refused model, are skipped."""
    with pytest.raises(AirflowSkipException):
        raise_for(entry(stage=stage, state="skipped"))


def test_refused_data_fails_for_good() -> None:
    """Another try would see the same data."""
    with pytest.raises(AirflowFailException):
        raise_for(entry(stage="validate", state="refused"))


@pytest.mark.parametrize(
    ("kind", "again"), [("source-unavailable", True), ("killed", True), ("user-code", False)]
)
def test_only_what_may_mend_is_tried_again(kind: str, again: bool) -> None:
    """A source that is down or a killed job is retried; a defect in the user's code is not."""
    failure = Failure(kind=kind, message="m", next_step="do this")
    with pytest.raises(AirflowException, match="To do: do this") as caught:
        raise_for(entry(state="failed", failure=failure))
    assert isinstance(caught.value, AirflowFailException) is not again
