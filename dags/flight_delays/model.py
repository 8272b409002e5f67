"""What is known of a flight at its scheduled departure, and the estimator that tells its chance of being late."""

from __future__ import annotations

from typing import Any

from pyspark.ml import Pipeline
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.feature import Imputer, StringIndexer, VectorAssembler
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

CATEGORIES = ["origin", "carrier", "maker"]
WEATHER = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
NUMBERS = [
    "weekday", "minute_of_day", "distance", "departures", "plane_age", "seats", "dest_lat", "dest_lon", *WEATHER,
]  # fmt: skip


def features(spark: SparkSession, sources: dict[str, DataFrame]) -> DataFrame:
    """One row a flight that arrived.

    Of what is measured after the scheduled departure only arr_delay is read: it makes the label, and leaves out
    cancelled and diverted flights, for which it is null.
    """
    date = F.make_date("year", "month", "day")
    flights = sources["flights"].select(
        # A flight number may depart from several airports on one day, but from each only once.
        F.concat_ws("-", date, "carrier", "flight", "origin").alias("flight_id"),
        (F.col("time_hour") + F.make_dt_interval(mins=F.col("minute").cast("int"))).alias("scheduled_departure"),
        (F.col("arr_delay") > 15).alias("late"),
        # How full the airport's schedule is in that hour; flights that were cancelled later stood in it too.
        F.count("*").over(Window.partitionBy("origin", "time_hour")).alias("departures"),
        F.dayofweek(date).alias("weekday"),
        (F.col("hour") * 60 + F.col("minute")).alias("minute_of_day"),
        F.col("distance").cast("double").alias("distance"),
        "time_hour", "year", "tailnum", "origin", "carrier", "dest",
    ).where(F.col("late").isNotNull())  # fmt: skip
    return (
        flights.join(_by_hour(sources["weather"]), ["origin", "time_hour"], "left")
        .join(F.broadcast(_planes(sources["planes"])), "tailnum", "left")
        .join(F.broadcast(_airports(sources["airports"])), "dest", "left")
        .withColumn("plane_age", F.col("year") - F.col("built"))
        .select("flight_id", "scheduled_departure", "late", *CATEGORIES, *NUMBERS)
    )


def _by_hour(weather: DataFrame) -> DataFrame:
    """One row an airport and hour: a key that is there twice would multiply the flights that it is joined to."""
    return weather.groupBy("origin", "time_hour").agg(
        *[F.avg(F.col(name).cast("double")).alias(name) for name in WEATHER]
    )


def _planes(planes: DataFrame) -> DataFrame:
    return planes.select(
        "tailnum", F.col("year").alias("built"), "seats", F.col("manufacturer").alias("maker")
    )


def _airports(airports: DataFrame) -> DataFrame:
    return airports.select(
        F.col("faa").alias("dest"), F.col("lat").alias("dest_lat"), F.col("lon").alias("dest_lon")
    )


def estimator(params: dict[str, Any]) -> Pipeline:
    """A forest over indexed categories and numbers whose gaps are filled with the mean."""
    indexed = [f"{name}_index" for name in CATEGORIES]
    filled = [f"{name}_filled" for name in NUMBERS]
    return Pipeline(
        stages=[
            StringIndexer(inputCols=CATEGORIES, outputCols=indexed, handleInvalid="keep"),
            Imputer(inputCols=NUMBERS, outputCols=filled, strategy="mean"),
            VectorAssembler(inputCols=[*indexed, *filled], outputCol="features"),
            RandomForestClassifier(
                labelCol="late",
                maxBins=64,  # above the number of any column's categories, or Spark refuses to split by it
                numTrees=20,
                subsamplingRate=0.5,
                maxDepth=params["maxDepth"],
                minInstancesPerNode=params["minInstancesPerNode"],
            ),
        ]
    )
