"""A source's URI as a template of the data interval."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.errors import SpecError
from penstock.intervals import Interval
from penstock.settings import Settings
from penstock.spec.sources import Files
from penstock.templates import render_uri

JUNE = Interval(start=datetime(2013, 6, 1, tzinfo=UTC), end=datetime(2013, 7, 1, tzinfo=UTC))
HERE = Settings(root=Path("/project"), var=Path("/state"), store="", mlflow_uri="")


def _rendered(uri: str, interval: Interval = JUNE) -> str:
    return render_uri(Files(name="flights", uri=uri), interval, HERE)


@pytest.mark.parametrize(
    ("uri", "rendered"),
    [
        ("data/{{ interval }}/*.csv.gz", "/project/data/2013-06-01/*.csv.gz"),
        ("{{ var }}/data/{{ interval }}.csv", "/state/data/2013-06-01.csv"),
        ("s3://b/{{ interval.start.strftime('%Y/%m') }}/*.csv", "s3://b/2013/06/*.csv"),
        ("s3://b/to={{ interval.end.date() }}/*", "s3://b/to=2013-07-01/*"),
        ("simplecache::s3://b/a.csv", "simplecache::s3://b/a.csv"),
        ("/shared/planes.csv", "/shared/planes.csv"),
    ],
)
def test_the_interval_and_the_state_are_known(uri: str, rendered: str) -> None:
    """Intervals by name or by their bounds; relative paths start at the project, URIs stay as they are."""
    assert _rendered(uri) == rendered


def test_an_hourly_interval_has_its_hour_in_its_name() -> None:
    """An interval that does not start at midnight is named with its time."""
    hour = Interval(start=datetime(2013, 6, 1, 5, tzinfo=UTC), end=datetime(2013, 6, 1, 6, tzinfo=UTC))
    assert _rendered("/x/{{ interval }}.csv", hour) == "/x/2013-06-01T0500.csv"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("/x/{{ interval.start.strftime() }}", "argument"),
        ("/x/{{ ''.__class__.__mro__ }}", "unsafe"),
        ("/x/{{ interval.start.__init__.__globals__ }}", "unsafe"),
        ("{% if false %}x{% endif %}", "is empty for interval 2013-06-01"),
    ],
)
def test_a_wrong_template_is_named(uri: str, reason: str) -> None:
    """What only rendering tells, and what reaches for Python's insides: source, template and reason are named."""
    with pytest.raises(SpecError, match=reason) as refused:
        _rendered(uri)
    assert "source 'flights'" in refused.value.message
    assert repr(uri) in refused.value.message
    assert refused.value.next_step
