"""The collected sources as Spark sees them: the intervals of a source put together, if their columns agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from penstock.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.common.job import Work

_DATA = "data.parquet"
#: Narrow to wide: the numbers that may widen from one interval to the next without loss of what they mean.
_NUMBERS = (pa.int32(), pa.int64(), pa.float32(), pa.float64())


@dataclass(frozen=True)
class Part:
    """One collected interval of a source. A column without a value has no entry in `types`, as it tells no type."""

    interval: str
    input: str
    rows: int
    columns: tuple[str, ...]
    types: Mapping[str, pa.DataType]


def parts(work: Work) -> dict[str, list[Part]]:
    """The collected intervals of every source of the spec, oldest first."""
    return {
        source: [
            _part(work, name, name.removeprefix(f"{source}@"))
            for name in sorted(work.item.inputs)
            if name.startswith(f"{source}@")
        ]
        for source in work.spec["sources"]
    }


def sources(work: Work, spark: SparkSession, found: Mapping[str, Sequence[Part]]) -> dict[str, DataFrame]:
    """Every source by name, its intervals put together.

    Raises DataError where the intervals of a source differ in columns or types, naming both,"""
    return {name: _read(work, spark, name, own) for name, own in found.items()}


def _part(work: Work, name: str, interval: str) -> Part:
    with work.open(name, _DATA) as file, pq.ParquetFile(file) as parquet:
        schema, metadata = parquet.schema_arrow, parquet.metadata
    types = {
        field.name: field.type
        for index, field in enumerate(schema)
        if not _all_null(metadata, index) and not pa.types.is_null(field.type)
    }
    return Part(interval, name, metadata.num_rows, tuple(schema.names), types)


def _all_null(metadata: pq.FileMetaData, column: int) -> bool:
    """Whether the statistics of every row group say so (collected columns are flat: one leaf a field)."""
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(column)
        statistics = chunk.statistics
        if statistics is None or not statistics.has_null_count or statistics.null_count < chunk.num_values:
            return False
    return True


def _read(work: Work, spark: SparkSession, source: str, parts: Sequence[Part]) -> DataFrame:
    from pyspark.sql import functions as F

    from jobs.common.spark import input_uri

    filled = [part for part in parts if part.rows] or list(parts)
    common = _common_types(source, filled)
    frames: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for part in filled:  # one read for all parts of the same schema keeps the plan small
        shape = tuple((name, str(part.types.get(name))) for name in part.columns)
        frames.setdefault(shape, []).append(input_uri(work, spark, part.input, _DATA))
    read: DataFrame | None = None
    for uris in frames.values():
        frame = spark.read.parquet(*uris)
        frame = frame.select(
            *[F.col(f"`{name}`").cast(_spark(common, name, frame)).alias(name) for name in filled[0].columns]
        )
        read = frame if read is None else read.unionByName(frame)
    assert read is not None, f"the request has no input for source {source}"
    return read


def _spark(common: Mapping[str, pa.DataType], name: str, frame: DataFrame) -> str:
    from pyspark.sql.pandas.types import from_arrow_type

    if name not in common:
        return dict(frame.dtypes)[name]
    return str(from_arrow_type(common[name]).simpleString())


def _common_types(source: str, parts: Sequence[Part]) -> dict[str, pa.DataType]:
    """The type of each column in all parts; DataError with every difference between intervals."""
    first, faults = parts[0], []
    common: dict[str, pa.DataType] = {}
    seen: dict[str, str] = {}
    for part in parts:
        faults += [
            f"{part.interval} has no column {name!r}, which {first.interval} has"
            for name in first.columns
            if name not in part.columns
        ]
        faults += [
            f"{part.interval} has a column {name!r}, which {first.interval} has not"
            for name in part.columns
            if name not in first.columns
        ]
        for name, type_ in part.types.items():
            wider = _wider(common.get(name, type_), type_)
            if wider is None:
                faults.append(f"{name!r} is {type_} in {part.interval} and {common[name]} in {seen[name]}")
            else:
                common[name] = wider
                seen.setdefault(name, part.interval)
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults[:20])
        raise DataError(
            f"source {source!r} differs between its data intervals:\n{lines}",
            next_step=f"declare its types (columns={{...}} of source {source!r}), or mend the data of that interval",
        )
    return common


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if one == other:
        return one
    if one in _NUMBERS and other in _NUMBERS:
        return max(one, other, key=_NUMBERS.index)
    return None
