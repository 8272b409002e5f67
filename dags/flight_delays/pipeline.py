"""Will a departing flight arrive more than 15 minutes late?

Asked at its scheduled departure from one of New York's three airports, of flights that are neither cancelled nor
diverted: what the schedule, the aircraft and the weather of the hour say, and nothing that is measured later.
"""

from penstock import Pipeline, Search, days, files, months, table
from penstock_airflow import to_dag

pipeline = Pipeline(
    name="flight_delays",
    problem=__doc__,
    owner="flight-ops",
    tags=["flights", "example"],
    task="binary",
    label="late",
    time="scheduled_departure",
    id="flight_id",
    sources=[
        files("flights", "{{ var }}/data/flights/{{ interval }}/*.csv.gz", time="time_hour"),
        files("weather", "{{ var }}/data/weather/{{ interval }}/*.csv.gz", time="time_hour"),
        table(
            "planes",
            connection="reference",
            query="select tailnum, year, seats, manufacturer from planes",
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
    metric="roc_auc",
    search=Search(trials=4, maxDepth=[5, 7], minInstancesPerNode=[20, 100]),
    slices=["origin", "carrier"],
    gates={"holdout": {"roc_auc": ">= 0.6"}},
)
dag = to_dag(pipeline)
