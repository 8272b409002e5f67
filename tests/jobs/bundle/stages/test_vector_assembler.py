"""VectorAssembler beside Spark."""

from __future__ import annotations

import math

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import VectorAssembler

from jobs.bundle.convert import BundleError, Field, to_onnx

pytestmark = pytest.mark.spark

FIELDS = [
    Field("x", "double"),
    Field("n", "int"),
    Field("b", "boolean"),
    Field("f", "float"),
    Field("k", "long"),
    Field("s", "string"),
]
NAMES = ["x", "n", "b", "f", "k"]
ROWS = [
    (1.5, 1, True, 0.1, 12345678901, "a"),
    (-0.0, 0, False, 0.0, 0, None),
    (None, 2, True, 0.3, 5, "a"),
    (1.0, None, True, 0.3, None, "a"),
    (1.0, 1, None, None, 5, "a"),
    (math.inf, 1, True, 1.0, 5, "a"),
    (math.nan, 1, True, 1.0, 5, "a"),
]


def assembled(probe, invalid):
    inner = VectorAssembler(inputCols=["x", "n"], outputCol="inner", handleInvalid=invalid)
    outer = VectorAssembler(inputCols=["b", "inner", "f", "k"], outputCol="features", handleInvalid=invalid)
    return PipelineModel([inner, outer, probe(5)])


def test_keep_puts_nan(spark, parity, probe):
    """With `keep`, null and NaN are NaN in the vector: scalars, booleans, vectors within vectors."""
    scored = parity(assembled(probe, "keep"), FIELDS, ROWS, "regression")
    assert "invalid" not in scored.outputs


@pytest.mark.parametrize("invalid", ["error", "skip"])
def test_refusals_go_by_stage_and_then_by_column(spark, parity, probe, invalid):
    """With `error` and `skip`, the first stage's first missing column is named."""
    scored = parity(assembled(probe, invalid), FIELDS, ROWS, "regression")
    assert scored.invalid == ["", "", "x", "n", "b", "", "x"]


def test_an_inner_nan_passes_a_strict_outer(spark, parity, probe):
    """Spark does not look for NaN inside a vector: a strict assembler takes it."""
    inner = VectorAssembler(inputCols=["x", "n"], outputCol="inner", handleInvalid="keep")
    outer = VectorAssembler(inputCols=["inner", "b"], outputCol="features", handleInvalid="error")
    scored = parity(PipelineModel([inner, outer, probe(3)]), FIELDS, ROWS, "regression")
    assert scored.invalid == ["", "", "", "", "b", "", ""]


def test_a_missing_column_is_named(spark, tmp_path, probe):
    """A column that the function does not get is named, with those that there are."""
    VectorAssembler(inputCols=["x", "gone"], outputCol="features")
    stages = [VectorAssembler(inputCols=["x", "gone"], outputCol="features"), probe(2)]
    PipelineModel(stages).write().save(str(tmp_path / "model"))
    with pytest.raises(BundleError, match=r"VectorAssembler reads the column 'gone'.*there are: x, s"):
        to_onnx(tmp_path / "model", [FIELDS[0], FIELDS[5]], "regression", None)


def test_text_is_refused_by_name(spark, tmp_path, probe):
    """Text where a number is wanted is an error, not a crash of ONNX Runtime."""
    stages = [VectorAssembler(inputCols=["x", "s"], outputCol="features"), probe(2)]
    PipelineModel(stages).write().save(str(tmp_path / "model"))
    with pytest.raises(BundleError, match=r"'s' as a number or vector, but it is a text column"):
        to_onnx(tmp_path / "model", FIELDS, "regression", None)
