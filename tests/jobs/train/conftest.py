"""Stones that are to be told apart by colour and weight: what the tests of train are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.results import Input, StageResult
from penstock.work import Outcome

PIPELINE = "stones"
START, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 30
LABELS = {"binary": "late", "multiclass": "kind", "regression": "price"}
METRICS = {
    "binary": ("log_loss", "minimize"),
    "multiclass": ("macro_f1", "maximize"),
    "regression": ("rmse", "minimize"),
}
#: Index, fill, assemble, predict: `{predictor}` is filled in, and sees the search's `params`.
MODEL = """
from pyspark.ml import Pipeline
from pyspark.ml.feature import Imputer, StringIndexer, VectorAssembler
from pyspark.ml import classification as c, regression as r

def features(spark, sources):
    return sources["stones"]

def estimator(params):
    return Pipeline(stages=[
        StringIndexer(inputCol="colour", outputCol="colour_index", handleInvalid="{invalid}"),
        Imputer(inputCols=["weight"], outputCols=["weight_filled"]),
        VectorAssembler(inputCols=["colour_index", "weight_filled", "size", "shiny"], outputCol="features"),
        {predictor},
    ])
"""


def stones(rows: int = 600, seed: int = 1, **columns: Any) -> pa.Table:
    """Stones over thirty days; a column given replaces the usual one. Labels: late, kind and price."""
    draw = np.random.default_rng(seed)
    colour, weight = draw.choice(["red", "green", "blue"], rows), draw.normal(5, 2, rows)
    size, shiny = draw.integers(1, 9, rows), draw.random(rows) < 0.4
    told = weight + 2 * (colour == "red") - shiny + draw.normal(0, 1, rows)
    found: dict[str, Any] = {
        "stone": [f"s{n:07}" for n in range(rows)],
        "at": pa.array(
            [START + timedelta(days=DAYS * n / rows) for n in range(rows)], pa.timestamp("us", "UTC")
        ),
        "late": told > 6,
        "kind": np.where(told < 4, "chalk", np.where(told < 6.5, "flint", "quartz")),
        "price": told * 10,
        "colour": pa.array(np.where(draw.random(rows) < 0.03, None, colour), pa.string()),
        "weight": pa.array(np.where(draw.random(rows) < 0.05, np.nan, weight), from_pandas=True),
        "size": pa.array(size, pa.int32()),
        "shiny": shiny,
    }
    return pa.table({**found, **columns})


class Quarry:
    """Runs features and train over stones, with the model and spec given."""

    stones = staticmethod(stones)

    def __init__(self, project: Any) -> None:
        self.project = project
        self.store = project.store

    def model(self, predictor: str, invalid: str = "keep") -> None:
        """Write the model with a last stage."""
        source = MODEL.replace("{predictor}", predictor).replace("{invalid}", invalid)
        self.project.model(PIPELINE, model=source)

    def features(self, task: str = "binary", table: pa.Table | None = None) -> StageResult:
        """The result of features over the stones, with the other tasks' labels left out."""
        table = stones() if table is None else table
        table = table.drop_columns([label for other, label in LABELS.items() if other != task])
        spec = {
            "task": task,
            "label": LABELS[task],
            "time": "at",
            "id": "stone",
            "slices": ["colour"],
            "sensitive": [],
            "window": {"start": START.isoformat(), "end": (START + timedelta(days=DAYS)).isoformat()},
            "validation_start": (START + timedelta(days=20)).isoformat(),
            "holdout_start": (START + timedelta(days=25)).isoformat(),
            "sources": ["stones"],
        }
        inputs: dict[str, Input] = {"stones@a": self.project.collected(PIPELINE, "stones@a", table)}
        item = self.project.item("features", PIPELINE, spec, inputs)
        outcome, result = self.project.run("features", PIPELINE, item)
        assert result is not None, outcome.message
        return result  # type: ignore[no-any-return]

    def item(
        self,
        features: StageResult,
        *,
        search: Mapping[str, Any] | None = None,
        salt: str | None = None,
        **spec: Any,
    ) -> Any:
        """The item of train over a result of features."""
        task = features.spec["task"]
        metric, better = METRICS[task]
        asked = {
            **{name: features.spec[name] for name in ("task", "label", "time", "id", "slices")},
            "metric": metric,
            "better": better,
            "balance": False,
            "search": {"method": "grid", "parallel": 2, "seed": 0, **(search or {})},
            "bundle": "onnx",
            **spec,
        }
        return self.project.item("train", PIPELINE, asked, {"features": features.as_input()}, salt)

    def train(self, item: Any) -> tuple[Outcome, StageResult | None]:
        """Train in this process."""
        return self.project.run("train", PIPELINE, item)  # type: ignore[no-any-return]

    def json(self, result: StageResult, name: str) -> Any:
        """A JSON output of a result."""
        return json.loads(self.store.read_bytes(f"{result.path}/{name}"))

    def holdout(self, result: StageResult) -> pa.Table:
        """The scored holdout of a result."""
        return pq.read_table(self.store.path(f"{result.path}/holdout.parquet"))


@pytest.fixture
def quarry(spark: object, project: Any) -> Quarry:
    """The quarry, in the tests' Spark session."""
    return Quarry(project)
