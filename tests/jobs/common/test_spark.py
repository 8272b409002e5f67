"""How jobs get Spark, and rows in an order that does not hang on the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.common import spark as common

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def test_a_java_of_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_HOME counts where it is Java 17 or 21; else the Java of the Python package does, wrapped for Spark."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    for version, home in (("17.0.2", str(tmp_path)), ("11.0.1", str(common.WRAPPED))):
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        java.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        assert common.java_home() == home


@pytest.mark.spark
def test_rows_lie_by_their_ids_however_they_came(spark: SparkSession) -> None:
    """Other partitions and another order of the same rows end in the same partitions, row by row."""

    def partitions(frame: DataFrame) -> list[list[int]]:
        return [
            list(rows)
            for rows in common.by_id(frame, "id", 60_000).rdd.map(lambda row: row.id).glom().collect()
        ]

    rows = spark.range(1000)
    expected = partitions(rows.coalesce(1))
    assert len(expected) == 3
    assert [sorted(own) for own in expected] == expected
    assert partitions(rows.repartition(7)) == expected
    assert partitions(rows.orderBy("id", ascending=False)) == expected


@pytest.mark.spark
def test_the_jvm_keeps_no_counters_in_tmp(spark: SparkSession) -> None:
    """A JVM writes its counters for monitoring below /tmp, whatever its temporary folder: ours does not."""
    jvm = spark._jvm.java.lang.ProcessHandle.current().pid()
    assert list(Path("/tmp").glob(f"hsperfdata_*/{jvm}")) == []


@pytest.mark.spark
def test_the_jvm_has_room_for_the_code_of_many_plans(spark: SparkSession) -> None:
    """Hundreds of plans, of trials say, are compiled in one JVM, which ends where their code finds no room."""
    pools = spark._jvm.java.lang.management.ManagementFactory.getMemoryPoolMXBeans()
    room = sum(pool.getUsage().getMax() for pool in pools if pool.getName().startswith("Code"))
    assert room >= 200 * 1024 * 1024
