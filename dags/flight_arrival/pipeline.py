"""How many minutes late (or early) will a departing flight arrive?

Asked at its scheduled departure from one of New York's three airports, of flights that are neither cancelled nor
diverted. Early arrivals are negative.
"""

from penstock import Pipeline, Search, days, files, months, table
from penstock_airflow import to_dag

pipeline = Pipeline(
    name="flight_arrival",
    problem=__doc__,
    owner="flight-ops",
    tags=["flights", "example"],
    task="regression",
    label="arrival_delay",
    time="scheduled_departure",
    id="flight_id",
    sources=[
        files("flights", "{{ var }}/data/flights/{{ interval }}/*.csv.gz", time="time_hour"),
        files("weather", "{{ var }}/data/weather/{{ interval }}/*.csv.gz", time="time_hour"),
        table(
            "planes",
            connection="reference",
            query="select tailnum, year, seats from planes",
            version="select count(*), max(updated_at) from planes",
        ),
        table(
            "airports",
            connection="reference",
            query="select faa, lat, lon from airports",
            version="select count(*), max(updated_at) from airports",
        ),
    ],
    schedule="@monthly",
    start="2013-01-01",
    end="2014-01-01",
    window=months(3),
    holdout=days(14),
    metric="mae",
    search=Search(method="grid", regParam=[0.01, 1.0]),
    slices=["origin"],
    expectations="flight_delays",  # the same sources must hold the same
    gates={"holdout": {"mae": "<= 60"}},
)
dag = to_dag(pipeline)
