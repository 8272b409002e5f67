"""A schedule's arithmetic: a cron expression cuts time into intervals, and these are their bounds (UTC)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from croniter import CroniterBadDateError, croniter

#: Airflow's presets, as cron expressions.
PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
_FIELDS = 5
#: croniter's sign for a random value: the bounds would be others in every process.
_RANDOM = re.compile(r"\bR\b", re.IGNORECASE)


def expression(schedule: str) -> str:
    """The schedule as a cron expression."""
    return PRESETS.get(schedule, schedule)


def is_schedule(schedule: str) -> bool:
    """True for a preset, and for five cron fields that some moment fulfils."""
    if schedule in PRESETS:
        return True
    if len(schedule.split()) != _FIELDS or _RANDOM.search(schedule) or not croniter.is_valid(schedule):
        return False
    try:
        after(schedule, datetime(2000, 1, 1, tzinfo=UTC))
    except CroniterBadDateError:  # 30 February
        return False
    return True


def at_or_before(cron: str, at: datetime) -> datetime:
    """The start of the interval that holds `at`."""
    if croniter.match(cron, at):
        return at.replace(second=0, microsecond=0)
    return before(cron, at)


def before(cron: str, at: datetime) -> datetime:
    """The newest bound before `at`."""
    bound: datetime = croniter(cron, at).get_prev(datetime)
    return bound


def after(cron: str, at: datetime) -> datetime:
    """The next bound after `at`."""
    bound: datetime = croniter(cron, at).get_next(datetime)
    return bound


def whole(cron: str, start: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The whole intervals from `start` on, without end."""
    bound = at_or_before(cron, start)
    first = bound if bound == start else after(cron, start)
    bounds = croniter(cron, first)
    while True:
        following: datetime = bounds.get_next(datetime)
        yield first, following
        first = following
