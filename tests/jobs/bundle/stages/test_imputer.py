"""ImputerModel beside Spark."""

from __future__ import annotations

import math

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import Imputer, VectorAssembler

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("n", "int"), Field("f", "float"), Field("k", "long")]
ROWS = [
    (1.5, 1, 0.1, 10),
    (None, 2, 0.25, None),
    (-1.0, None, None, -1),
    (2.5, 4, 0.3, 7),
    (2.5, 4, 0.7, 1),
    (None, None, None, None),
    (0.0, -1, -1.0, 2),
]


def imputed(table, probe, strategy, missing, invalid="keep"):
    names = [field.name for field in FIELDS]
    outputs = [f"{name}_imputed" for name in names]
    imputer = Imputer(inputCols=names, outputCols=outputs, strategy=strategy, missingValue=missing)
    assembler = VectorAssembler(inputCols=outputs, outputCol="features", handleInvalid=invalid)
    return PipelineModel([imputer.fit(table(FIELDS, ROWS)), assembler, probe(4)])


@pytest.mark.parametrize("strategy", ["mean", "median", "mode"])
def test_null_becomes_the_surrogate_in_the_columns_type(spark, parity, probe, table, strategy):
    """Null becomes the fitted value, cut to a whole number in whole columns, rounded to float in floats."""
    scored = parity(imputed(table, probe, strategy, float("nan"), "error"), FIELDS, ROWS, "regression")
    assert "invalid" not in scored.outputs


def test_a_missing_value_of_its_own(spark, parity, probe, table):
    """With missingValue=-1, both -1 and null are replaced."""
    parity(imputed(table, probe, "mean", -1.0), FIELDS, ROWS, "regression")


def test_nan_given_to_spark_is_replaced_as_null_is(spark, parity, probe, table):
    """With the default missingValue, Spark given NaN answers as it does for null, which a function's NaN is."""
    rows = [(math.nan, 1, math.nan, 3), (None, 1, None, 3)]
    scored = parity(imputed(table, probe, "mean", float("nan")), FIELDS, rows, "regression")
    assert scored.outputs["prediction"][0] == scored.outputs["prediction"][1]


def test_where_nan_given_to_spark_differs(spark, run, parity, probe, table):
    """With missingValue=-1 Spark leaves NaN but replaces null; the function answers as for null."""
    fitted = imputed(table, probe, "mean", -1.0)
    scored = parity(fitted, FIELDS, [(None, 1, 0.5, 3)], "regression")
    as_nan = fitted.transform(table(FIELDS, [(math.nan, 1, 0.5, 3)])).first()["prediction"]
    assert math.isnan(as_nan)
    assert not math.isnan(run(scored.model, FIELDS, [(math.nan, 1, 0.5, 3)])["prediction"][0])


def test_in_place(spark, parity, probe, table):
    """An imputer may write over its own input."""
    imputer = Imputer(inputCols=["x"], outputCols=["x"]).fit(table(FIELDS, ROWS))
    assembler = VectorAssembler(inputCols=["x", "x"], outputCol="features")
    parity(PipelineModel([imputer, assembler, probe(2)]), FIELDS, ROWS, "regression")
