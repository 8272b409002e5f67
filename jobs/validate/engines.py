"""Where expectations are evaluated: pandas while the data is small, Spark above; the verdict is the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from great_expectations.validator.v1_validator import Validator

    from jobs.common.job import Work

Engine = Literal["pandas", "spark"]

#: The most values (rows times columns) that pandas gets. At up to some 60 bytes a value (text) that is 1.2 GB, and
#: half of it again while an expectation is evaluated: what a job of 2 GB can hold. Above, Spark reads from the disk.
PANDAS_VALUES = 20_000_000
#: Beyond it a whole number is not exact as a double, which is what pandas makes of a column with nulls.
_EXACT = 2**53


def choose(data: Path, limit: int = PANDAS_VALUES) -> Engine:
    """The engine for a Parquet file by its size: pandas up to `limit` values."""
    metadata = pq.read_metadata(data)
    return "pandas" if metadata.num_rows * metadata.num_columns <= limit else "spark"


@contextmanager
def validator(engine: Engine, data: Path, work: Work) -> Iterator[Validator]:
    """A Great Expectations validator over a Parquet file. Nothing is reported to anyone, nothing is written."""
    context = _context()
    if engine == "pandas":
        frames = context.data_sources.add_pandas("collected").add_dataframe_asset("data")
        yield _validator(frames.add_batch_definition_whole_dataframe("whole"), frame(data))
        return
    from jobs.common.spark import lease

    with lease(work) as spark:
        rows = spark.read.parquet(f"file://{data}").cache()
        asset = context.data_sources.add_spark("collected").add_dataframe_asset("data")
        yield _validator(asset.add_batch_definition_whole_dataframe("whole"), rows)
        rows.unpersist()


def _validator(batch: BatchDefinition[Any], rows: object) -> Validator:
    from great_expectations.validator.v1_validator import Validator

    return Validator(batch, batch_parameters={"dataframe": rows})


def _context() -> EphemeralDataContext:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def frame(data: Path) -> pd.DataFrame:
    """The Parquet file in pandas, with every value exact.

    Columns are numpy's types: pandas' own nullable ones make Great Expectations fail on nulls. So whole numbers
    with nulls are doubles, and Python's own integers where a double would not be exact.
    """
    table = pq.read_table(data)
    whole = {
        name: table[name].to_pylist()
        for name in table.column_names
        if pa.types.is_integer(table[name].type) and table[name].null_count and _large(table[name])
    }
    made = table.drop_columns(list(whole)).to_pandas()
    import pandas as pd

    for name, values in whole.items():
        made[name] = pd.Series(values, dtype=object)
    ordered: pd.DataFrame = made[table.column_names]
    return ordered


def _large(values: pa.ChunkedArray) -> bool:
    span = pc.min_max(values).as_py()
    return span["max"] is not None and max(abs(span["min"]), abs(span["max"])) > _EXACT
