"""The suites of the examples: they load, and hold on the real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from demo.flights import prepare
from jobs.collect.run import run as collect
from jobs.validate.suite import load_suite
from penstock import files, table
from penstock.settings import find_root
from penstock.spec.sources import Source
from tests.jobs.driver import Driver

SUITES = sorted(find_root().glob("expectations/*/*.json"))
FEBRUARY = {"start": "2013-02-01T00:00:00Z", "end": "2013-03-01T00:00:00Z"}
SOURCES = [
    files("flights", "{{ var }}/data/flights/{{ interval }}/*.csv.gz", time="time_hour"),
    files("weather", "{{ var }}/data/weather/{{ interval }}/*.csv.gz", time="time_hour"),
    table("planes", connection="reference", query="select tailnum, year, seats from planes"),
    table("airports", connection="reference", query="select faa, lat, lon from airports"),
]


@pytest.mark.parametrize("path", SUITES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_suite_loads_under_the_name_of_its_source(path: Path) -> None:
    """Each file is a suite, named as its source, and leaves types to collection (engines name them differently)."""
    suite = load_suite(path)
    assert suite.name == path.stem
    assert [each.expectation_type for each in suite.expectations if "_type" in each.expectation_type] == []


def test_there_is_a_suite_for_each_source() -> None:
    """The flights' four sources have their suites, so that the gate is on for each."""
    assert {path.stem for path in SUITES if path.parent.name == "flight_delays"} == {
        s["name"] for s in SOURCES
    }


def test_february_holds_but_for_one_gust(validate: Callable, driver: Driver, tmp_path: Path) -> None:
    """On a real month no critical expectation fails; the weather's one warning finds the wind of 1048 mph that the
    real data has at Newark on the 12th."""
    prepare(driver.settings.var)
    collector = Driver("collect", driver.settings)
    warnings = {}
    for source in SOURCES:
        name = str(source["name"])
        dump = TypeAdapter(Source).validate_python(source).model_dump(mode="json")
        item = collector.item({"source": dump, "interval": FEBRUARY}, subject=name)
        _, folder = collector.here(collect, item, tmp_path / f"collect-{name}")
        suite = (find_root() / "expectations" / "flight_delays" / f"{name}.json").read_text()
        found = validate(pq.read_table(folder / "data.parquet"), suite)
        assert found.done.summary["failed"] == []
        warnings |= {name: found.report["checks"][-1]["rows"]} if found.done.summary["warnings"] else {}
    assert [(row["wind_speed"], row["origin"], row["day"]) for row in warnings.pop("weather")] == [
        (1048.36058, "EWR", 12)
    ]
    assert warnings == {}
