"""The one check that every conversion must pass: a graph's answers beside Spark's own, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.ml import PipelineModel
from pyspark.ml.common import _py2java
from pyspark.ml.linalg import DenseVector
from pyspark.ml.regression import LinearRegressionModel
from pyspark.sql import DataFrame, SparkSession

from jobs.bundle.convert import Field, to_onnx
from tests.jobs.frames import frame_of

SQL_TYPES = {
    "string": "string",
    "double": "double",
    "float": "float",
    "long": "bigint",
    "int": "int",
    "boolean": "boolean",
}
TOLERANCE = 1e-9
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Scored:
    """A converted model: its graph, and the graph's outputs by name, each [rows]."""

    model: onnx.ModelProto
    outputs: dict[str, np.ndarray]

    @property
    def invalid(self) -> list[str]:
        """The refused column of each row, "" where none is; empty when the graph can refuse nothing."""
        return list(self.outputs.get("invalid", []))


def feed(fields: Sequence[Field], rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The rows as a graph takes them: null is NaN in numbers and "\\0" in text."""
    columns: dict[str, np.ndarray] = {}
    for position, field in enumerate(fields):
        values = [row[position] for row in rows]
        if field.type == "string":
            columns[field.name] = np.array(["\0" if v is None else v for v in values], dtype=object)
        else:
            columns[field.name] = np.array([np.nan if v is None else float(v) for v in values])
    return columns


def score(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Score with ONNX Runtime as a function does: one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    runtime = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in runtime.get_outputs()]
    return dict(zip(names, runtime.run(None, inputs), strict=True))


def frame(spark: SparkSession, fields: Sequence[Field], rows: Sequence[Row]) -> DataFrame:
    """The rows in Spark, with their position as `row_number`."""
    schema = ", ".join(f"`{field.name}` {SQL_TYPES[field.type]}" for field in fields)
    return frame_of(spark, f"{schema}, row_number int", [(*row, n) for n, row in enumerate(rows)])


def scores(fitted: PipelineModel, classes: int | None) -> dict[str, tuple[str, int]]:
    """The outputs that a graph gives beside `prediction`: by name Spark's column and the position in it."""
    if classes and fitted.stages[-1].hasParam("probabilityCol"):
        return {f"probability_{k}": ("probability", k) for k in range(classes)}
    return {"rawPrediction": ("rawPrediction", 1)} if classes == 2 else {}


def answers(fitted: PipelineModel, data: DataFrame, classes: int | None) -> dict[int, list[float]]:
    """Spark's own prediction and scores by row number; NaN for a null or no class, a dropped row is missing."""
    made = fitted.transform(data)
    wanted = scores(fitted, classes)
    columns = ["prediction", *{column for column, _ in wanted.values()}]
    # A statement may have left the row's number out; one partition keeps the order.
    numbered = "row_number" in made.columns
    found = made.select(*columns, *(["row_number"] if numbered else [])).collect()
    return {
        (row["row_number"] if numbered else position): [
            math.nan
            if row["prediction"] is None or (classes and row["prediction"] < 0)
            else row["prediction"],
            *(float(row[column][k]) for column, k in wanted.values()),
        ]
        for position, row in enumerate(found)
    }


def refuses(fitted: PipelineModel, data: DataFrame, classes: int | None) -> bool:
    """Whether Spark raises on or drops the only row."""
    try:
        return not answers(fitted, data, classes)
    except (PySparkException, Py4JJavaError):  # Py4JJavaError: what pyspark has no name for
        return True


@pytest.fixture
def parity(spark: SparkSession, tmp_path: Path) -> Callable[..., Scored]:
    """Convert a fitted pipeline and prove, row by row, that the graph answers as Spark does.

    Every answered row is compared at 1e-9 relative to max(1, |x|), NaN with NaN; every refused row is given to Spark
    alone, which must refuse it too (`alone` of them at most: each costs a Spark job).
    """

    def check(
        fitted: PipelineModel,
        fields: Sequence[Field],
        rows: Sequence[Row],
        task: str,
        classes: int | None = None,
        alone: int = 6,
    ) -> Scored:
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        fitted.write().save(str(folder))
        model = to_onnx(folder, fields, task, classes)
        onnx.checker.check_model(model, full_check=True)
        outputs = score(model, feed(fields, rows))
        scored = Scored(model, outputs)
        names = ["prediction", *scores(fitted, classes)]
        assert list(outputs) == names + (["invalid"] if "invalid" in outputs else [])
        assert [i.name for i in model.graph.input] == [field.name for field in fields]
        got = np.column_stack([outputs[name] for name in names])
        assert got.dtype == np.float64
        assert len(got) == len(rows)

        refused = [n for n, column in enumerate(scored.invalid) if column]
        assert np.isnan(got[refused]).all()
        for n in refused[:alone]:
            assert refuses(fitted, frame(spark, fields, [rows[n]]), classes), (rows[n], scored.invalid[n])

        kept = [n for n in range(len(rows)) if n not in set(refused)]
        expected = answers(fitted, frame(spark, fields, [rows[n] for n in kept]), classes)
        assert sorted(expected) == list(range(len(kept)))
        wanted = np.array([expected[n] for n in range(len(kept))]).reshape(len(kept), len(names))
        worst = np.abs(got[kept] - wanted) / np.maximum(1, np.abs(wanted))
        same = (worst <= TOLERANCE) | (got[kept] == wanted) | (np.isnan(got[kept]) & np.isnan(wanted))
        wrong = np.flatnonzero(~same.all(axis=1))
        assert not len(wrong), [
            (rows[kept[n]], dict(zip(names, got[kept][n], strict=True)), wanted[n].tolist())
            for n in wrong[:5]
        ]
        return scored

    return check


@pytest.fixture
def probe(spark: SparkSession) -> Callable[[int], LinearRegressionModel]:
    """A linear model of `size` features made without fitting: any difference in any feature shows in its answer."""

    def make(size: int) -> LinearRegressionModel:
        coefficients = DenseVector([math.sqrt(2 + n) for n in range(size)])
        java = spark._jvm.org.apache.spark.ml.regression.LinearRegressionModel(
            f"probe_{size}", _py2java(spark.sparkContext, coefficients), 0.1, 1.0
        )
        return LinearRegressionModel(java)

    return make


@pytest.fixture
def table(spark: SparkSession) -> Callable[..., DataFrame]:
    """Rows in Spark, in one partition: `table(fields, rows)`."""
    return lambda fields, rows: frame(spark, fields, rows)


@pytest.fixture
def run() -> Callable[[onnx.ModelProto, Sequence[Field], Sequence[Row]], dict[str, np.ndarray]]:
    """Score rows with a graph: outputs by name, each [rows]."""
    return lambda model, fields, rows: score(model, feed(fields, rows))
