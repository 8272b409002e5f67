"""What features and train take on executors, from a year of flights to a hundred: `python -m bench.spread`.

On the cluster that KUBECONFIG names, through Airflow. The year's flights are repeated under keys of their own, each
number of years in a month of its own, so that one pipeline with one image reads them all. A logistic regression of ten
passes is trained once, on 1 and on 3 executors of half a core each. `--years 1 10` leaves the longest out.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.flight_sources import year_of_flights
from tests.cluster.stand import Stand, build_image, result, temporary
from tests.e2e.conftest import Project

NAME, EXECUTORS = "spread", (1, 3)
#: The month that has so many years.
MONTHS = {1: "2013-01-01", 10: "2013-02-01", 100: "2013-03-01"}
_FOLD = 13.5  # a year's time shrinks into the shortest month

_PIPELINE = '''
"""Will a departing flight arrive more than 15 minutes late?"""
from penstock import Pipeline, Search, days, files, months
from penstock_airflow import to_dag

executors = {{"executors": {{"count": {count}, "cpu": 0.5, "memory": "4Gi", "above_rows": 0}}, "memory": "3Gi"}}
pipeline = Pipeline(
    name="spread", problem=__doc__, owner="bench", task="binary", label="late", time="departure", id="flight_id",
    sources=[files("flights", "s3://penstock/flights/{{{{ interval }}}}.parquet", time="time_hour")],
    schedule="@monthly", start="2013-01-01", end="2013-04-01", window=months(1), holdout=days(2),
    metric="roc_auc", search=Search(method="grid", regParam=[0.0]),
    gates={{"holdout": {{"roc_auc": ">= 0.5"}}}},
    resources={{"collect": {{"memory": "2Gi"}}, "validate": {{"memory": "4Gi"}}, "features": executors, "train": executors,
               "register": {{"memory": "3Gi"}}, "validate_model": {{"memory": "6Gi"}}}},
)
dag = to_dag(pipeline)
'''
_MODEL = '''
"""A few columns, and a linear model."""
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import StringIndexer, VectorAssembler
from pyspark.sql import functions as F

CATEGORIES, NUMBERS = ["origin", "carrier"], ["hour", "minute", "distance", "month", "departures"]


def features(spark, sources):
    flights = sources["flights"]
    airports = flights.groupBy("origin", "hour").agg(F.count("*").cast("double").alias("departures"))
    return flights.where("arr_delay is not null").join(F.broadcast(airports), ["origin", "hour"]).select(
        "flight_id", F.col("time_hour").alias("departure"), (F.col("arr_delay") > 15).alias("late"), *CATEGORIES,
        *[F.col(name).cast("double").alias(name) for name in NUMBERS],
    )


def estimator(params):
    indexed = [f"{name}_index" for name in CATEGORIES]
    return Pipeline(stages=[
        StringIndexer(inputCols=CATEGORIES, outputCols=indexed, handleInvalid="keep"),
        VectorAssembler(inputCols=[*indexed, *NUMBERS], outputCol="features"),
        LogisticRegression(labelCol="late", maxIter=10, tol=0.0, **params),
    ])
'''


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.spread", description=__doc__)
    parser.add_argument("--years", type=int, nargs="+", default=list(MONTHS), choices=list(MONTHS))
    wanted = parser.parse_args().years
    with temporary() as it:
        _make(it.project)
        for years in wanted:
            with fsspec.open(f"s3://penstock/flights/{MONTHS[years]}.parquet", "wb") as file:
                _repeat(file, years)
        measured = {
            (years, count): _measure(it, MONTHS[years], count) for years in wanted for count in EXECUTORS
        }
    print(
        f"{'rows':>12} {'executors':>10} {'features, s':>12} {'train, s':>10} {'times the rows':>15} {'times the time':>15}"
    )
    for (_, count), (features, train, rows) in measured.items():
        first = measured[wanted[0], count]
        print(
            f"{rows:12,} {count:10} {features:12.1f} {train:10.1f} {rows / first[2]:15.1f} "
            f"{(features + train) / (first[0] + first[1]):15.1f}",
            flush=True,
        )


def _make(project: Project) -> None:
    folder = project.root / "dags" / NAME
    folder.mkdir()
    (folder / "model.py").write_text(_MODEL)
    _declare(project, EXECUTORS[0])
    build_image(project, NAME)


def _declare(project: Project, count: int) -> None:
    (project.root / "dags" / NAME / "pipeline.py").write_text(_PIPELINE.format(count=count))


def _repeat(file: Any, years: int) -> None:
    """Write the year so many times over, with a key for each row, and its time within the month."""
    year = year_of_flights()
    flown = year["time_hour"].to_numpy()
    # To the month's end, where its last days are the holdout.
    over = np.datetime64(MONTHS[years], "M") + 1
    folded = over.astype("datetime64[s]") - 1 - (flown.max() - flown) / _FOLD
    times = pa.array(folded.astype("datetime64[s]").astype("datetime64[us]"), pa.timestamp("us", "UTC"))
    year = year.set_column(year.column_names.index("time_hour"), "time_hour", times)
    keyed = year.append_column("flight_id", pa.array(range(year.num_rows), pa.int64()))
    with pq.ParquetWriter(file, keyed.schema) as writer:
        for number in range(years):
            key = pc.add(keyed["flight_id"], number * year.num_rows)
            writer.write_table(keyed.set_column(keyed.num_columns - 1, "flight_id", key))


def _measure(it: Stand, month: str, count: int) -> tuple[float, float, int]:
    """Seconds of the two jobs, each done anew, and the rows that features wrote."""
    _declare(it.project, count)
    run = partial(it.project.penstock, "run", NAME, "--airflow", "--date", month)
    if count == EXECUTORS[0]:
        features = train = run()  # all of it is new
    else:
        features, train = run("--force", "features"), run("--force", "train")
    made, trained = result(features, "features", NAME), result(train, "train", NAME)
    print(f"{month} on {count}: features {made.seconds:.1f} s, train {trained.seconds:.1f} s", flush=True)
    return made.seconds, trained.seconds, sum(made.summary["rows"].values())


if __name__ == "__main__":
    main()
