"""The minutes that a flight arrives late, from what is known at its scheduled departure, by a linear model."""

from __future__ import annotations

from typing import Any

from pyspark.ml import Pipeline
from pyspark.ml.feature import (
    Bucketizer,
    Imputer,
    OneHotEncoder,
    SQLTransformer,
    StandardScaler,
    StringIndexer,
    VectorAssembler,
)
from pyspark.ml.regression import LinearRegression
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from schedule import scheduled

CATEGORIES = ["origin", "carrier", "weekday"]
WEATHER = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]
NUMBERS = ["distance", "plane_age", "seats", "dest_lat", "dest_lon", *WEATHER]


def features(spark: SparkSession, sources: dict[str, DataFrame]) -> DataFrame:
    """One row a flight that arrived: its schedule, its aircraft, its destination, the weather of the hour."""
    # Made unique by its key: a key that is there twice would multiply the flights that it is joined to.
    weather = (
        sources["weather"]
        .groupBy("origin", "time_hour")
        .agg(*[F.avg(F.col(name).cast("double")).alias(name) for name in WEATHER])
    )
    planes = sources["planes"].select("tailnum", F.col("year").alias("built"), "seats")
    airports = sources["airports"].select(
        F.col("faa").alias("dest"), F.col("lat").alias("dest_lat"), F.col("lon").alias("dest_lon")
    )
    return (
        scheduled(sources["flights"])
        .join(weather, ["origin", "time_hour"], "left")
        .join(F.broadcast(planes), "tailnum", "left")
        .join(F.broadcast(airports), "dest", "left")
        .withColumn("plane_age", F.col("year") - F.col("built"))
        .select("flight_id", "scheduled_departure", "arrival_delay", "hour", "minute", *CATEGORIES, *NUMBERS)
    )


def estimator(params: dict[str, Any]) -> Pipeline:
    """Least squares on one-hot categories, parts of the day, and scaled numbers."""
    indexed = [f"{name}_index" for name in CATEGORIES]
    encoded = [f"{name}_one" for name in CATEGORIES]
    filled = [f"{name}_filled" for name in NUMBERS]
    return Pipeline(
        stages=[
            SQLTransformer(statement="SELECT *, hour + minute / 60 AS clock FROM __THIS__"),
            # Delays pile up over the day, by no straight line.
            Bucketizer(
                inputCol="clock",
                outputCol="part_of_day",
                splits=[float("-inf"), 7, 9, 11, 13, 15, 17, 19, 21, float("inf")],
                handleInvalid="keep",
            ),
            StringIndexer(inputCols=CATEGORIES, outputCols=indexed, handleInvalid="keep"),
            OneHotEncoder(
                inputCols=[*indexed, "part_of_day"], outputCols=[*encoded, "part_one"], handleInvalid="keep"
            ),
            Imputer(inputCols=NUMBERS, outputCols=filled, strategy="mean"),
            VectorAssembler(inputCols=filled, outputCol="numbers"),
            StandardScaler(inputCol="numbers", outputCol="scaled", withMean=True),
            VectorAssembler(inputCols=["scaled", *encoded, "part_one"], outputCol="features"),
            LinearRegression(labelCol="arrival_delay", regParam=params["regParam"], standardization=False),
        ]
    )
