"""Time: every kind of run gets the interval that a person would expect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import Pipeline, days, files, months
from penstock.errors import PenstockError
from penstock.intervals import Interval, between, containing, from_airflow, newest_complete, resolve, window

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def pipeline(**changes: Any) -> Pipeline:
    fields: dict[str, Any] = {
        "name": "flights", "problem": "p", "owner": "o", "task": "binary", "label": "l", "time": "t", "id": "i",
        "sources": [files("flights", "x", time="t")], "schedule": "@monthly", "start": "2013-01-01",
        "end": "2014-01-01", "metric": "roc_auc",
    }  # fmt: skip
    return Pipeline(**{**fields, **changes})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def run(kind: str, **changes: Any) -> dict[str, Any]:
    unset = {"logical_date": None, "data_interval": None, "asked": None}
    return {"run_type": kind, "run_after": NOW, **unset, **changes}


JUNE = Interval(start=at("2013-06-01"), end=at("2013-07-01"))
DECEMBER = Interval(start=at("2013-12-01"), end=at("2014-01-01"))


@pytest.mark.parametrize(
    ("what", "given_run", "expected"),
    [
        ("schedule", run("scheduled", logical_date=JUNE.start, data_interval=(JUNE.start, JUNE.end)), JUNE),
        ("backfill", run("backfill", logical_date=JUNE.start, data_interval=(JUNE.start, JUNE.end)), JUNE),
        # Airflow hands a run by hand the interval before its logical date; a person who types June means June.
        (
            "by hand",
            run("manual", logical_date=JUNE.start, data_interval=(at("2013-05-01"), JUNE.start)),
            JUNE,
        ),
        ("by hand, mid month", run("manual", logical_date=at("2013-06-17"), data_interval=None), JUNE),
        ("the button: now", run("manual", logical_date=NOW, data_interval=(NOW, NOW)), DECEMBER),
        (
            "the button: a form that was open for hours",
            run("manual", logical_date=NOW - timedelta(hours=5), data_interval=(NOW, NOW)),
            DECEMBER,
        ),
        ("null date", run("manual"), DECEMBER),
        ("asset", run("asset_triggered"), DECEMBER),
        ("asset, after the end", run("asset_triggered", logical_date=at("2014-06-01")), DECEMBER),
        (
            "schedule without an interval, after the end",
            run(
                "scheduled", logical_date=at("2014-06-01"), data_interval=(at("2014-06-01"), at("2014-06-01"))
            ),
            DECEMBER,
        ),
        ("form", run("manual", logical_date=NOW, asked=at("2013-06-09")), JUNE),
        (
            "form over schedule",
            run("scheduled", data_interval=(DECEMBER.start, DECEMBER.end), asked=JUNE.start),
            JUNE,
        ),
    ],
)
def test_each_kind_of_run(what: str, given_run: dict[str, Any], expected: Interval) -> None:
    """By schedule, hand, backfill, asset and form: the interval is the one that a person would expect."""
    assert from_airflow(pipeline(), given_run, NOW) == expected, what


def test_zero_length_interval_is_not_one() -> None:
    """Airflow's plain @monthly gives start == end: then the newest complete interval holds."""
    given_run = run("scheduled", data_interval=(JUNE.start, JUNE.start))
    assert from_airflow(pipeline(), given_run, NOW) == DECEMBER


@pytest.mark.parametrize("date", ["2012-06-01", "2014-06-01", "2030-01-01"])
def test_a_logical_date_typed_outside_is_refused(date: str) -> None:
    """A person who types a logical date without data gets no other month instead, but the dates that have."""
    typed = run("manual", logical_date=at(date), data_interval=(at(date), at(date)))
    with pytest.raises(PenstockError, match=f"{date} 00:00 is outside .* 2013-01-01 to 2014-01-01"):
        from_airflow(pipeline(), typed, NOW)


def test_a_logical_date_typed_for_the_running_interval_is_refused() -> None:
    """The month that is running has no complete data, whatever it is typed into."""
    with pytest.raises(PenstockError, match="ends at 2026-12-01"):
        from_airflow(pipeline(end=None), run("manual", logical_date=at("2026-11-02")), NOW)


@pytest.mark.parametrize("asked", ["2012-12-31", "2014-01-01", "2026-01-01"])
def test_a_date_outside_is_refused(asked: str) -> None:
    """A date that a person typed and that has no data is an error that says which dates have."""
    with pytest.raises(PenstockError, match="2013-01-01 to 2014-01-01"):
        resolve(pipeline(), now=NOW, asked=at(asked))


def test_an_interval_that_is_not_over_is_refused() -> None:
    """Asking for the running month names its end."""
    with pytest.raises(PenstockError, match="ends at 2026-12-01"):
        resolve(pipeline(end=None), now=NOW, asked=NOW)


def test_no_complete_interval_yet() -> None:
    """A pipeline that starts this month has nothing to run for, and says until when."""
    with pytest.raises(PenstockError, match="first interval ends at 2026-12-01"):
        newest_complete(pipeline(start="2026-11-01", end=None), NOW)


def test_window_is_the_newest_three_months() -> None:
    """The window's intervals end with the run's own and never reach before the start."""
    assert [str(each) for each in window(pipeline(), JUNE)] == ["2013-04-01", "2013-05-01", "2013-06-01"]
    february = containing(pipeline(), at("2013-02-10"))
    assert [str(each) for each in window(pipeline(), february)] == ["2013-01-01", "2013-02-01"]
    assert [str(each) for each in window(pipeline(), JUNE, at("2013-06-01"))] == ["2013-06-01"]


def test_without_a_schedule_all_data_is_one_interval() -> None:
    """A pipeline run by hand alone takes its data from start to end."""
    single = pipeline(schedule=None)
    whole = Interval(start=at("2013-01-01"), end=at("2014-01-01"))
    assert newest_complete(single, NOW) == whole
    assert window(single, whole) == [whole]
    assert resolve(single, now=NOW, asked=at("2013-06-01")) == whole


@pytest.mark.parametrize("end", [None, "2030-01-01"])
def test_without_a_schedule_or_end_data_goes_to_today(end: str | None) -> None:
    """The interval ends at the start of the day in UTC: the same in the morning and in the evening, so keys are too."""
    single = pipeline(schedule=None, end=end)
    morning, evening = at("2026-11-23T00:00"), at("2026-11-23T23:59:59.5")
    today = Interval(start=at("2013-01-01"), end=at("2026-11-23"))
    assert newest_complete(single, morning) == newest_complete(single, evening) == today
    assert newest_complete(single, at("2026-11-24T01:00")).end == at("2026-11-24")


@pytest.mark.parametrize("asked", ["2012-12-31", "2014-01-01", "2026-01-01"])
def test_without_a_schedule_a_date_outside_is_refused_too(asked: str) -> None:
    """A date that has no data is not taken for all data."""
    with pytest.raises(PenstockError, match="2013-01-01 to 2014-01-01"):
        resolve(pipeline(schedule=None), now=NOW, asked=at(asked))
    with pytest.raises(PenstockError, match="2026-11-01 to 2026-11-23"):
        resolve(pipeline(schedule=None, start="2026-11-01", end=None), now=NOW, asked=at(asked))


def test_without_a_schedule_the_first_day_must_be_over() -> None:
    """Data that begins today is no interval yet."""
    with pytest.raises(PenstockError, match="first interval ends at 2026-11-24"):
        newest_complete(pipeline(schedule=None, start="2026-11-23T06:00", end=None), NOW)


@given(
    moment=st.datetimes(datetime(2013, 1, 1), datetime(2030, 1, 1)),
    schedule=st.sampled_from(["@hourly", "@daily", "@weekly", "@monthly", "30 6 * * 1-5", "@yearly"]),
)
def test_intervals_tile_time(moment: datetime, schedule: str) -> None:
    """Every instant lies in exactly one interval, and intervals meet without gap or overlap."""
    spec = pipeline(schedule=schedule, end=None, window=months(12), holdout=days(1))
    instant = moment.replace(tzinfo=UTC)
    interval = containing(spec, instant)
    assert interval.start <= instant < interval.end
    assert containing(spec, interval.end).start == interval.end
    assert containing(spec, interval.start) == interval


def test_a_range_is_every_interval_from_one_day_to_another() -> None:
    """Both ends count, wherever in their intervals they lie; a month that is over once is there once."""
    found = between(pipeline(), at("2013-03-15"), at("2013-05-01"), now=NOW)
    assert [str(each) for each in found] == ["2013-03-01", "2013-04-01", "2013-05-01"]
    assert between(pipeline(), at("2013-03-01"), at("2013-03-31"), now=NOW) == found[:1]
    assert len(between(pipeline(schedule=None), at("2013-03-01"), at("2013-05-01"), now=NOW)) == 1


def test_a_range_that_is_none_is_refused() -> None:
    """The later day first, or a day outside of the pipeline's data."""
    with pytest.raises(PenstockError, match="2013-03-01 is before 2013-05-01"):
        between(pipeline(), at("2013-05-01"), at("2013-03-01"), now=NOW)
    with pytest.raises(PenstockError, match="outside pipeline"):
        between(pipeline(), at("2013-11-01"), at("2014-02-01"), now=NOW)
