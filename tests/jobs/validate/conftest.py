"""What the tests of validate share: a table and a suite, validated in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.common.job import Done
from jobs.validate.engines import PANDAS_VALUES
from jobs.validate.run import run
from penstock import keys
from penstock.results import GateResult, Input
from penstock.settings import Settings, find_root
from penstock.work import Item
from tests.jobs.driver import Driver


@dataclass(frozen=True)
class Validated:
    """What one validation left."""

    done: Done
    report: dict[str, Any]
    docs: Path

    @property
    def gate(self) -> GateResult:
        (gate,) = self.done.gates
        assert gate.name == "data"
        return gate

    @property
    def verdicts(self) -> list[bool]:
        """Whether each expectation of the suite passed, in order."""
        return [check["passed"] for check in self.report["checks"]]


Validate = Callable[..., Validated]


def expectation(type_: str, severity: str = "critical", **kwargs: object) -> dict[str, object]:
    """An expectation as a suite's file has it."""
    return {"type": f"expect_{type_}", "kwargs": kwargs, "severity": severity}


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    var = tmp_path / "var"
    uris = {"store": f"file://{var}/store", "mlflow_uri": f"sqlite:///{var}/ml.db"}
    return Driver("validate", Settings(root=find_root(), var=var, **uris))


@pytest.fixture
def item_of(driver: Driver, tmp_path: Path) -> Callable[..., Item]:
    """The item that validates a table, as collect would have left it, by a suite."""

    def make(table: pa.Table, suite: object, *, gate: bool = True) -> Item:
        collected = Path(driver.store.path("example/collect/k/a"))
        collected.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, collected / "data.parquet")
        path = tmp_path / "things.json"
        text = suite if isinstance(suite, str) else json.dumps({"name": "things", "expectations": suite})
        path.write_text(text)
        # An absolute path stands: the suite need not lie in the checkout.
        inputs = {
            "data": Input(path="example/collect/k/a", digest="d"),
            "suite": Input(path=str(path), digest=keys.digest_bytes(path.read_bytes())),
        }
        spec = {"source": "things", "snapshot": False, "gate": gate}
        return driver.item(spec, subject="things@2013-06-01", inputs=inputs)

    return make


@pytest.fixture
def validate(driver: Driver, tmp_path: Path, item_of: Callable[..., Item]) -> Validate:
    """Validates a table by a list of expectations, on the engine that is asked for."""
    count = iter(range(100))

    def call(table: pa.Table, suite: object, *, engine: str = "pandas", gate: bool = True) -> Validated:
        limit = PANDAS_VALUES if engine == "pandas" else 0
        item = item_of(table, suite, gate=gate)
        done, folder = driver.here(lambda work: run(work, limit), item, tmp_path / f"scratch-{next(count)}")
        assert (
            sorted(path.name for path in folder.iterdir())
            == sorted(done.outputs)
            == ["docs", "validation.json"]
        )
        return Validated(done, json.loads((folder / "validation.json").read_text()), folder / "docs")

    return call
