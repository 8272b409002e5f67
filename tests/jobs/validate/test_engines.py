"""The same suite gives the same verdict on pandas and on Spark, null by null."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.validate.engines import choose, frame
from tests.jobs.validate.conftest import expectation

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_BIG = 2**60
TABLE = pa.table(
    {
        "id": pa.array([_BIG, _BIG + 1, _BIG + 2, None, _BIG + 4, _BIG + 5], pa.int64()),
        "n": pa.array([1, 2, None, 4, 5, 60], pa.int64()),
        "m": pa.array([0, 3, 1, None, 5, 7], pa.int64()),
        "x": pa.array([0.5, None, 1.5, -2.0, 1e9, float("inf")], pa.float64()),
        "k": pa.array(["JFK", "LGA", None, "jfk", "", "EWR"]),
        "u": pa.array(["a", "b", None, None, "c", "d"]),
        "b": pa.array([True, None, False, True, True, True]),
        "at": pa.array(
            [datetime(2013, 6, day, tzinfo=UTC) for day in (1, 2, 3, 4, 5)] + [None],
            pa.timestamp("us", tz="UTC"),
        ),
        "day": pa.array([date(2013, 6, day) for day in (1, 2, 3, 4, 5, 6)], pa.date32()),
        "nothing": pa.nulls(6, pa.float64()),
    }
)
SUITE = [
    (True, expectation("table_row_count_to_be_between", min_value=6, max_value=6)),
    (False, expectation("table_row_count_to_be_between", min_value=7)),
    (True, expectation("column_to_exist", column="n")),
    (False, expectation("column_to_exist", column="gone")),
    (True, expectation("table_columns_to_match_set", column_set=["n", "k"], exact_match=False)),
    (False, expectation("column_values_to_not_be_null", column="n")),
    (True, expectation("column_values_to_not_be_null", column="n", mostly=0.8)),
    (False, expectation("column_values_to_not_be_null", column="nothing", mostly=0.01)),
    (True, expectation("column_values_to_be_null", column="nothing")),
    (True, expectation("column_values_to_be_between", column="n", min_value=1, max_value=60)),
    (False, expectation("column_values_to_be_between", column="n", min_value=1, max_value=59)),
    (False, expectation("column_values_to_be_between", column="n", min_value=1, strict_min=True)),
    (False, expectation("column_values_to_be_between", column="x", min_value=-1, max_value=2e9)),
    (True, expectation("column_values_to_be_between", column="x", min_value=-2)),
    (True, expectation("column_values_to_be_between", column="nothing", min_value=0)),
    (True, expectation("column_values_to_be_between", column="at", min_value="2013-06-01T00:00:00Z")),
    (False, expectation("column_values_to_be_between", column="at", max_value="2013-06-04T12:00:00Z")),
    (True, expectation("column_values_to_be_in_set", column="b", value_set=[True, False])),
    (False, expectation("column_values_to_be_in_set", column="k", value_set=["JFK", "LGA", "EWR"])),
    (True, expectation("column_values_to_be_in_set", column="k", value_set=["JFK", "LGA", "EWR"], mostly=0.6)),
    (True, expectation("column_values_to_not_be_in_set", column="n", value_set=[3, 7])),
    (True, expectation("column_distinct_values_to_contain_set", column="k", value_set=["JFK"])),
    (True, expectation("column_values_to_be_unique", column="id")),
    (True, expectation("column_values_to_be_unique", column="u")),
    (False, expectation("column_values_to_be_unique", column="b")),
    (True, expectation("compound_columns_to_be_unique", column_list=["k", "n"])),
    (False, expectation("compound_columns_to_be_unique", column_list=["b", "nothing"], ignore_row_if="never")),
    (False, expectation("column_values_to_match_regex", column="k", regex="^[A-Z]{3}$")),
    (True, expectation("column_values_to_match_regex", column="k", regex="^[A-Za-z]*$")),
    (True, expectation("column_values_to_not_match_regex", column="k", regex="^[0-9]")),
    (False, expectation("column_value_lengths_to_equal", column="k", value=3)),
    (True, expectation("column_value_lengths_to_be_between", column="k", min_value=0, max_value=3)),
    (False, expectation("column_pair_values_a_to_be_greater_than_b", column_A="n", column_B="m")),
    (True, expectation("column_pair_values_a_to_be_greater_than_b", column_A="id", column_B="m")),
    (False, expectation("column_pair_values_to_be_equal", column_A="n", column_B="m")),
    (True, expectation("column_mean_to_be_between", column="n", min_value=14.3, max_value=14.5)),
    (False, expectation("column_mean_to_be_between", column="n", max_value=14)),
    (True, expectation("column_min_to_be_between", column="n", min_value=1, max_value=1)),
    (False, expectation("column_max_to_be_between", column="n", max_value=59)),
    (True, expectation("column_sum_to_be_between", column="m", min_value=16, max_value=16)),
    (True, expectation("column_stdev_to_be_between", column="m", min_value=2.86, max_value=2.87)),
    (True, expectation("column_median_to_be_between", column="n", min_value=4, max_value=4)),
    (True, expectation("column_unique_value_count_to_be_between", column="u", min_value=4, max_value=4)),
    (False, expectation("column_values_to_be_between", column="k", min_value=1, max_value=5)),
]  # fmt: skip


@pytest.mark.parametrize("engine", ["pandas", pytest.param("spark", marks=pytest.mark.spark)])
def test_each_engine_gives_the_expected_verdicts(
    validate, engine: str, request: pytest.FixtureRequest
) -> None:
    """Every expectation's verdict on nulls, infinities, text, times and numbers beyond 2^53, as written down here."""
    if engine == "spark":
        request.getfixturevalue("spark")
    found = validate(TABLE, [each for _, each in SUITE], engine=engine)
    assert found.done.summary["engine"] == engine
    wrong = [
        (check["expectation"], check["kwargs"], check["observed"])
        for check, (expected, _) in zip(found.report["checks"], SUITE, strict=True)
        if check["passed"] is not expected
    ]
    assert wrong == []


@pytest.mark.spark
def test_what_is_said_of_a_failure_is_the_same(validate, spark: SparkSession) -> None:
    """Verdict, counts, offending rows and the digest of all of it do not tell which engine it was."""
    suite = [
        expectation("column_values_to_be_in_set", column="k", value_set=["JFK", "LGA"]),
        expectation("column_values_to_be_between", column="n", min_value=2, max_value=50),
        expectation("column_values_to_not_be_null", column="at"),
    ]
    table = TABLE.select(["n", "k", "at"])
    one, other = (validate(table, suite, engine=engine) for engine in ("pandas", "spark"))
    assert one.report["checks"] == other.report["checks"]
    assert one.done.digest == other.done.digest
    assert one.gate == other.gate
    assert one.done.state == "refused"


def test_the_engine_follows_the_size(tmp_path: Path) -> None:
    """Up to the bound, counted in values, it is pandas; one more, and it is Spark."""
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"a": [1, 2], "b": [3, 4]}), path)
    assert [choose(path, limit) for limit in (4, 3)] == ["pandas", "spark"]


def test_pandas_keeps_whole_numbers_exact(tmp_path: Path) -> None:
    """Numbers beside nulls that a double cannot hold stay whole."""
    path = tmp_path / "data.parquet"
    pq.write_table(TABLE, path)
    made = frame(path)
    assert list(made.columns) == TABLE.column_names
    assert made["id"].tolist()[:2] == [_BIG, _BIG + 1]
    assert made["n"].dtype == "float64"
