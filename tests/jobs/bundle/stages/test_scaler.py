"""StandardScalerModel beside Spark."""

from __future__ import annotations

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import StandardScaler, VectorAssembler

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("y", "double"), Field("c", "double")]
ROWS = [(1.0, -5.0, 3.0), (2.5, 0.0, 3.0), (1e9, 1e-9, 3.0), (0.1, 7.0, 3.0)]


@pytest.mark.parametrize("with_mean", [True, False])
@pytest.mark.parametrize("with_std", [True, False])
def test_both_switches(spark, parity, probe, table, with_mean, with_std):
    """All four settings, on a feature that never varied (c), on other values of it, and on NaN."""
    assembler = VectorAssembler(inputCols=["x", "y", "c"], outputCol="raw", handleInvalid="keep")
    scaler = StandardScaler(inputCol="raw", outputCol="features", withMean=with_mean, withStd=with_std)
    fitted = scaler.fit(assembler.transform(table(FIELDS, ROWS)))
    rows = [*ROWS, (0.0, 0.0, 4.0), (None, 1.0, 3.0), (1.0, 2.0, None)]
    parity(PipelineModel([assembler, fitted, probe(3)]), FIELDS, rows, "regression")
