"""A Spark session for the examples' own code; that of the jobs' tests where they run in the same process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A small local Spark: two cores, 1 GB."""
    from pyspark.sql import SparkSession

    from jobs.common.spark import session

    if (running := SparkSession.getActiveSession()) is not None:
        yield running
        return
    made = session("tests", cores=2, memory="1g", scratch=tmp_path_factory.mktemp("spark"), rows=1000)
    made.conf.set("spark.sql.shuffle.partitions", "2")
    yield made
    made.stop()
