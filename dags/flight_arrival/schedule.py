"""What the schedule alone says of a flight."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def scheduled(flights: DataFrame) -> DataFrame:
    """The flights that arrived, with their id, scheduled departure (UTC), delay in minutes, weekday and hour.

    Nothing that is measured after the scheduled departure is kept but arr_delay, the label; it is null for
    cancelled and diverted flights, which are left out.
    """
    date = F.make_date("year", "month", "day")
    return flights.where(F.col("arr_delay").isNotNull()).select(
        F.concat_ws("-", date, "carrier", "flight", "origin").alias("flight_id"),
        (F.col("time_hour") + F.make_dt_interval(mins=F.col("minute").cast("int"))).alias("scheduled_departure"),
        F.col("arr_delay").cast("double").alias("arrival_delay"),
        F.date_format(date, "E").alias("weekday"),
        "time_hour", "year", "hour", "minute", "tailnum", "origin", "carrier", "dest", "distance",
    )  # fmt: skip
