"""Scalers beside Spark."""

from __future__ import annotations

import math

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml import feature as f

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("y", "double"), Field("c", "double")]
ROWS = [(1.0, -5.0, 3.0), (2.5, 0.0, 3.0), (1e9, 1e-9, 3.0), (0.1, 7.0, 3.0)]
SCORED = [*ROWS, (0.0, 0.0, 4.0), (None, 1.0, 3.0), (1.0, 2.0, None), (-3.0, 8.0, 0.0), (0.0, 0.0, 0.0)]


@pytest.fixture
def assembler(spark):
    """All features in one vector; a hole is NaN."""
    return f.VectorAssembler(inputCols=["x", "y", "c"], outputCol="raw", handleInvalid="keep")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
@pytest.mark.parametrize("scaler", [f.StandardScaler, f.RobustScaler])
def test_both_switches(spark, parity, probe, table, assembler, scaler, first, second):
    """All four settings, on a feature that never varied (c), on other values of it, and on NaN."""
    names = ("withMean", "withStd") if scaler is f.StandardScaler else ("withCentering", "withScaling")
    switches = dict(zip(names, (first, second), strict=True))
    fitted = scaler(inputCol="raw", outputCol="features", **switches).fit(
        assembler.transform(table(FIELDS, ROWS))
    )
    parity(PipelineModel([assembler, fitted, probe(3)]), FIELDS, SCORED, "regression")


@pytest.mark.parametrize("limits", [{}, {"min": -2.0, "max": 5.0}])
def test_min_max(spark, parity, probe, table, assembler, limits):
    """Values within and beyond what fitting saw; what never varied is the middle, whatever it is, and NaN stays."""
    scaler = f.MinMaxScaler(inputCol="raw", outputCol="features", **limits)
    fitted = scaler.fit(assembler.transform(table(FIELDS, ROWS)))
    parity(PipelineModel([assembler, fitted, probe(3)]), FIELDS, SCORED, "regression")


def test_max_abs(spark, parity, probe, table, assembler):
    """A feature that was 0 throughout passes as it is."""
    rows = [(x, y, 0.0) for x, y, _ in ROWS]
    fitted = f.MaxAbsScaler(inputCol="raw", outputCol="features").fit(
        assembler.transform(table(FIELDS, rows))
    )
    parity(PipelineModel([assembler, fitted, probe(3)]), FIELDS, SCORED, "regression")


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5, math.inf])
def test_normalizer(spark, parity, probe, assembler, p):
    """Each norm; a row of zeros stays."""
    normalizer = f.Normalizer(inputCol="raw", outputCol="features", p=p)
    parity(PipelineModel([assembler, normalizer, probe(3)]), FIELDS, SCORED, "regression")
