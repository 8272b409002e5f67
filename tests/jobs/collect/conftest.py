"""What the tests of collect share: sources in a folder of their own, collected in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from jobs.collect.retry import Patience
from jobs.collect.run import run
from penstock.settings import Settings, find_root
from penstock.spec.sources import Source
from penstock.work import Item
from tests.jobs.driver import Driver

#: June 2013, which all tests collect.
JUNE = {"start": "2013-06-01T00:00:00Z", "end": "2013-07-01T00:00:00Z"}


@dataclass(frozen=True)
class Collected:
    """What one collection left: the table, its digest and its summary."""

    table: pa.Table
    digest: str
    summary: dict[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(self.table.to_pylist())


Collect = Callable[..., Collected]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The checkout's code, with all state below the test's folder."""
    var = tmp_path / "var"
    return Settings(
        root=find_root(),
        var=var,
        store=f"file://{var}/store",
        mlflow_uri=f"sqlite:///{var}/ml.db",
    )


@pytest.fixture
def driver(settings: Settings) -> Driver:
    return Driver("collect", settings)


@pytest.fixture
def item_of(driver: Driver) -> Callable[[dict[str, object]], Item]:
    """The item that collects a declared source for June 2013."""

    def make(source: dict[str, object]) -> Item:
        dump = TypeAdapter(Source).validate_python(source).model_dump(mode="json")
        return driver.item({"source": dump, "interval": JUNE}, subject=f"{source['name']}@2013-06-01")

    return make


@pytest.fixture
def collect(driver: Driver, tmp_path: Path, item_of: Callable[[dict[str, object]], Item]) -> Collect:
    """Collects a declared source for June 2013, giving up on one that is down after a moment."""
    count = iter(range(100))

    def call(source: dict[str, object], patience: Patience = Patience(attempts=3, wait=0.001)) -> Collected:  # noqa: B008
        scratch = tmp_path / f"scratch-{next(count)}"
        done, folder = driver.here(lambda work: run(work, patience), item_of(source), scratch)
        assert done.outputs == ["data.parquet"]
        return Collected(pq.read_table(folder / "data.parquet"), done.digest, done.summary)

    return call
