"""A small shop whose orders are late or not: what the tests of features are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from penstock.results import Input, StageResult
from penstock.work import Outcome

PIPELINE = "shop"
START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 31, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "task": "binary",
    "label": "late",
    "time": "at",
    "id": "order",
    "slices": ["city"],
    "sensitive": [],
    "window": {"start": START.isoformat(), "end": END.isoformat()},
    "validation_start": "2024-01-11T00:00:00+00:00",
    "holdout_start": "2024-01-21T00:00:00+00:00",
    "sources": ["orders"],
}
MODEL = """
def features(spark, sources):
    return sources["orders"]
"""


def orders(**columns: Any) -> pa.Table:
    """120 orders, one every six hours of the window; a column given replaces the usual one (None: leaves it out)."""
    rows = range(120)
    usual: dict[str, Any] = {
        "order": [f"o{n:03}" for n in rows],
        "at": pa.array([START + timedelta(hours=6 * n) for n in rows], pa.timestamp("us", "UTC")),
        "late": [n % 3 == 0 for n in rows],
        "city": [["Rome", "Oslo", "Graz"][n % 3] for n in rows],
        "price": [float(n) if n % 10 else None for n in rows],
        "items": pa.array([n % 7 for n in rows], pa.int32()),
    }
    found = {**usual, **columns}
    return pa.table({name: values for name, values in found.items() if values is not None})


class Shop:
    """Runs features over the shop's orders, with the model and spec given."""

    orders = staticmethod(orders)
    spec = SPEC

    def __init__(self, project: Any) -> None:
        self.project = project

    def run(
        self,
        model: str = MODEL,
        *,
        tables: dict[str, pa.Table] | None = None,
        helpers: dict[str, str] | None = None,
        **spec: Any,
    ) -> tuple[Outcome, StageResult | None]:
        """`tables`: what was collected, by `<source>@<interval>`; `spec` overrides SPEC."""
        self.project.model(PIPELINE, model=model, **(helpers or {}))
        given = tables or {"orders@2024-01-01": orders()}
        inputs: dict[str, Input] = {
            name: self.project.collected(PIPELINE, name, table) for name, table in given.items()
        }
        item = self.project.item("features", PIPELINE, {**SPEC, **spec}, inputs)
        outcome, result = self.project.run("features", PIPELINE, item)
        return outcome, result

    def refused(self, *arguments: Any, kind: str = "user-code", **options: Any) -> str:
        """The message of a run that must fail with that kind, and leave nothing in the store."""
        outcome, result = self.run(*arguments, **options)
        assert outcome.state == "failed"
        assert outcome.kind == kind
        assert result is None
        assert [p for p in self.project.settings.var.rglob(f"{PIPELINE}/features/*/*") if p.is_dir()] == []
        assert outcome.next_step
        return str(outcome.message)


@pytest.fixture
def shop(spark: object, project: Any) -> Shop:
    """The shop, in the tests' Spark session."""
    return Shop(project)
