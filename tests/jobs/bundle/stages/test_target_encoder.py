"""TargetEncoderModel beside Spark."""

from __future__ import annotations

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import TargetEncoder, VectorAssembler

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("a", "double"), Field("b", "int")]
LABELLED = [*FIELDS, Field("label", "double")]
ROWS = [
    (0.0, 3, 1.0),
    (1.0, 4, 0.0),
    (1.0, 3, 1.0),
    (2.0, None, 0.0),
    (2.0, 4, 1.0),
    (0.0, 3, 0.0),
    (0.0, 7, 1.0),
]
SCORED = [
    (0.0, 3), (1.0, None), (2.0, 4), (None, 7), (9.0, 3), (0.5, 3), (0.0, 99), (-1.0, 3), (2147483647.0, 3), (-0.0, 3)
]  # fmt: skip


@pytest.mark.parametrize("smoothing", [0.0, 2.5])
@pytest.mark.parametrize("invalid", ["keep", "error"])
@pytest.mark.parametrize("target", ["binary", "continuous"])
def test_each_setting(spark, parity, probe, table, target, invalid, smoothing):
    """Null where fitting saw it (b) and where not (a), unseen categories, and the numbers that Spark writes for those."""
    rows = ROWS if target == "binary" else [(a, b, label * 7.3 + a) for a, b, label in ROWS]
    encoder = TargetEncoder(
        inputCols=["a", "b"],
        outputCols=["x", "y"],
        targetType=target,
        handleInvalid=invalid,
        smoothing=smoothing,
    )
    assembler = VectorAssembler(inputCols=["x", "y"], outputCol="features", handleInvalid="keep")
    parity(
        PipelineModel([encoder.fit(table(LABELLED, rows)), assembler, probe(2)]),
        FIELDS,
        SCORED,
        "regression",
        alone=9,
    )
