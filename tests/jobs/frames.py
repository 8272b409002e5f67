"""Rows in Spark by way of Arrow: of plain tuples Spark makes rows in a Python process, anew for every job on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType


def frame_of(spark: SparkSession, schema: str, rows: Iterable[tuple[Any, ...]]) -> DataFrame:
    """The rows in one partition; `schema` is Spark's DDL (`a double, b string`)."""
    struct = StructType.fromDDL(schema)
    arrow = to_arrow_schema(struct)
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, arrow, strict=True)]
    return spark.createDataFrame(pa.Table.from_arrays(arrays, schema=arrow), struct).coalesce(1)


def of_pandas(spark: SparkSession, rows: pd.DataFrame) -> DataFrame:
    """The same of pandas' rows, without their index."""
    return spark.createDataFrame(pa.Table.from_pandas(rows, preserve_index=False))
