"""One function turns any run into its data interval, and an interval into its training window."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from penstock.errors import PenstockError
from penstock.spec import schedule
from penstock.spec.pipeline import Pipeline

#: Airflow's form fills in the moment when it was opened as the logical date; it may be sent a good while later.
_OPENED = timedelta(days=1)


class Interval(BaseModel):
    """A half-open span of data time, [start, end), in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """`2013-06-01`, with the hour where the interval does not start at midnight; it names artifacts."""
        at_midnight = (self.start.hour, self.start.minute) == (0, 0)
        return f"{self.start:%Y-%m-%d}" if at_midnight else f"{self.start:%Y-%m-%dT%H%M}"

    def __str__(self) -> str:
        return self.name


def containing(pipeline: Pipeline, at: datetime) -> Interval:
    """The interval of the pipeline's schedule that holds `at`."""
    assert pipeline.cron is not None
    start = schedule.at_or_before(pipeline.cron, at)
    return Interval(start=start, end=schedule.after(pipeline.cron, start))


def newest_complete(pipeline: Pipeline, now: datetime) -> Interval:
    """The newest interval that has ended by `now` and by the pipeline's `end`; raises where there is none.

    Without a schedule all data is one interval: to the pipeline's `end`, or to the start of today (UTC) where that
    is not over. Its end stays the same all day, so that what was collected in the morning is reused in the afternoon.
    """
    limit = min(now, pipeline.end) if pipeline.end else now
    if pipeline.cron is None:
        newest = Interval(start=pipeline.start, end=limit if limit == pipeline.end else _midnight(now))
        first_end = _midnight(pipeline.start + timedelta(days=1))
    else:
        newest = containing(pipeline, limit)
        if newest.end > limit:
            newest = Interval(start=schedule.before(pipeline.cron, newest.start), end=newest.start)
        first_end = containing(pipeline, pipeline.start).end
    if newest.start < pipeline.start or newest.end <= newest.start:
        raise PenstockError(
            f"pipeline {pipeline.name!r} has no complete data interval yet: it starts at {pipeline.start:%Y-%m-%d %H:%M} "
            f"and its first interval ends at {first_end:%Y-%m-%d %H:%M}",
            next_step="wait for the interval to end, or set an earlier start",
        )
    return newest


def resolve(
    pipeline: Pipeline,
    *,
    now: datetime,
    asked: datetime | None = None,
    run_interval: tuple[datetime, datetime] | None = None,
    logical_date: datetime | None = None,
) -> Interval:
    """The data interval that a person would expect of a run.

    In this order: `asked` (the trigger form's or command line's date: the interval that holds it);
    `run_interval` where it is one of the schedule's own (a scheduled or backfill run); `logical_date` of a run
    triggered now: the interval that holds it if that is complete; else the newest complete interval.

    Raises PenstockError where `asked` lies outside the pipeline's start and end, or its interval is not over.
    """
    if asked is not None:
        interval = containing(pipeline, asked) if pipeline.cron else newest_complete(pipeline, now)
        _inside(pipeline, interval, asked, now)
        return interval
    if run_interval is not None:
        start, end = run_interval
        if end > start:
            return Interval(start=start, end=end)
    if pipeline.cron and logical_date is not None and logical_date >= pipeline.start:
        interval = containing(pipeline, logical_date)
        if interval.end <= (min(now, pipeline.end) if pipeline.end else now):
            return interval
    return newest_complete(pipeline, now)


def window(pipeline: Pipeline, newest: Interval, since: datetime | None = None) -> list[Interval]:
    """The intervals of the training window that ends with `newest`, oldest first; none before the start.

    `since` stands in for the spec's window.
    """
    if pipeline.cron is None:
        return [newest]
    first = max(since or pipeline.window.before(newest.end), pipeline.start)
    intervals = [newest]
    while intervals[0].start > first:
        start = schedule.before(pipeline.cron, intervals[0].start)
        if start < first:
            break
        intervals.insert(0, Interval(start=start, end=intervals[0].start))
    return intervals


def between(pipeline: Pipeline, first: datetime, last: datetime, *, now: datetime) -> list[Interval]:
    """The intervals from the one that holds `first` to the one that holds `last`, oldest first.

    Raises PenstockError where one of them is outside the pipeline's start and end or not over, or `last` is first.
    """
    if last < first:
        raise PenstockError(
            f"{last:%Y-%m-%d} is before {first:%Y-%m-%d}: no interval lies between",
            next_step="give the earlier date first",
        )
    intervals = [resolve(pipeline, now=now, asked=first)]
    while pipeline.cron is not None and intervals[-1].end <= last:
        intervals.append(resolve(pipeline, now=now, asked=intervals[-1].end))
    return intervals


def from_airflow(pipeline: Pipeline, run: dict[str, Any], now: datetime) -> Interval:
    """The interval of an Airflow run given its type, dates and params.

    `run`: keys `run_type` ("scheduled", "backfill", "manual", "asset_triggered"), `logical_date`, `run_after` (when
    it was triggered), `data_interval` (a pair, or None) and `asked` (or None). Airflow gives a run by hand the
    interval *before* its logical date; a person who types 2013-06-01 means June, so only planned runs keep Airflow's
    own. A logical date that is not the moment of triggering was typed: it is as good as `asked`.

    Raises PenstockError where what was typed lies outside the pipeline's start and end, or its interval is not over.
    """
    planned = run["run_type"] in ("scheduled", "backfill")
    logical_date = run["logical_date"]
    typed = (
        run["run_type"] == "manual"
        and logical_date is not None
        and abs(logical_date - run["run_after"]) > _OPENED
    )
    return resolve(
        pipeline,
        now=now,
        asked=run["asked"] or (logical_date if typed else None),
        run_interval=run["data_interval"] if planned else None,
        logical_date=logical_date,
    )


def _inside(pipeline: Pipeline, interval: Interval, asked: datetime, now: datetime) -> None:
    over = pipeline.end if pipeline.cron else interval.end
    if pipeline.cron is None:
        outside = not interval.start <= asked < interval.end
    else:
        outside = interval.start < pipeline.start or (over is not None and interval.end > over)
    if outside:
        until = f"{over:%Y-%m-%d}" if over else "now"
        raise PenstockError(
            f"{asked:%Y-%m-%d %H:%M} is outside pipeline {pipeline.name!r}: its data goes from "
            f"{pipeline.start:%Y-%m-%d} to {until}",
            next_step="give a date between these",
        )
    if interval.end > now:
        raise PenstockError(
            f"the interval {interval} of pipeline {pipeline.name!r} ends at {interval.end:%Y-%m-%d %H:%M}, "
            f"and it is {now:%Y-%m-%d %H:%M}: its data is not complete",
            next_step="run it after its end, or give an earlier date",
        )


def _midnight(at: datetime) -> datetime:
    """The start of a moment's day."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
