"""Bucketizer beside Spark."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import Bucketizer, SQLTransformer, VectorAssembler

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

FIELDS = [Field("x", "double"), Field("n", "int")]
SPLITS = [-1.5, 0.0, 0.1, 2.0, 1e9]
BESIDE = [
    float(value)
    for split in SPLITS
    for value in (np.nextafter(split, -math.inf), split, np.nextafter(split, math.inf))
]


def bucketized(probe, x_splits, n_splits, invalid):
    bucketizer = Bucketizer(
        inputCols=["x", "n"], outputCols=["xb", "nb"], splitsArray=[x_splits, n_splits], handleInvalid=invalid
    )
    assembler = VectorAssembler(inputCols=["xb", "nb"], outputCol="features")
    return PipelineModel([bucketizer, assembler, probe(2)])


WIDE = [-math.inf, *SPLITS, math.inf]


@pytest.mark.parametrize("invalid", ["keep", "error", "skip"])
def test_infinite_ends(spark, parity, probe, invalid):
    """On and one ulp beside every split, at both infinities and at -0.0; null is refused by what cannot take it."""
    values = [*BESIDE, -0.0, math.inf, -math.inf, 1.0, None]
    fitted = bucketized(probe, WIDE, [-math.inf, 0.0, math.inf], invalid)
    scored = parity(fitted, FIELDS, [(value, 1) for value in values], "regression")
    assert scored.invalid == [""] * (len(values) - 1) + ["x"]


@pytest.mark.parametrize("invalid", ["keep", "error", "skip"])
def test_null_stays_null_and_nan_does_not(spark, parity, probe, invalid):
    """A null has a null bucket; a NaN that was computed has one of its own with `keep`, and is refused otherwise."""
    computed = SQLTransformer(statement="SELECT *, sqrt(x) AS root FROM __THIS__")
    bucketizer = Bucketizer(inputCol="root", outputCol="rb", splits=WIDE, handleInvalid=invalid)
    assembler = VectorAssembler(inputCols=["rb"], outputCol="features", handleInvalid="keep")
    fitted = PipelineModel([computed, bucketizer, assembler, probe(1)])
    scored = parity(fitted, FIELDS, [(4.0, 1), (None, 1), (-1.0, 1)], "regression")
    assert scored.invalid == {"keep": [], "error": ["", "", "x"], "skip": ["", "x", "x"]}[invalid]


@pytest.mark.parametrize("invalid", ["keep", "error"])
def test_finite_ends_refuse_what_is_outside(spark, parity, probe, invalid):
    """A value outside the splits is refused whatever handleInvalid says; the last bucket is closed."""
    values = [*BESIDE, -0.0, math.inf, -math.inf]
    fitted = bucketized(probe, SPLITS, [0.0, 5.0, 10.0], invalid)
    scored = parity(fitted, FIELDS, [(value, 1) for value in values], "regression")
    assert {v for v, column in zip(values, scored.invalid, strict=True) if column} == {
        np.nextafter(-1.5, -math.inf),
        np.nextafter(1e9, math.inf),
        math.inf,
        -math.inf,
    }
    whole = parity(fitted, FIELDS, [(1.0, n) for n in (0, 5, 10, 11, -1)], "regression")
    assert whole.invalid == ["", "", "", "n", "n"]


def test_zero_as_the_lowest_split(spark, parity, probe):
    """Java orders -0.0 before 0.0, so Spark refuses -0.0 where the splits begin at 0.0."""
    fitted = bucketized(probe, [0.0, 1.0, 2.0], [0.0, 5.0, 10.0], "error")
    scored = parity(fitted, FIELDS, [(0.0, 1), (-0.0, 1), (1.0, 1)], "regression")
    assert scored.invalid == ["", "x", ""]


def test_single_column(spark, parity, probe):
    """A Bucketizer over one column (splits, not splitsArray) is read as well."""
    bucketizer = Bucketizer(inputCol="x", outputCol="xb", splits=[-math.inf, *SPLITS, math.inf])
    assembler = VectorAssembler(inputCols=["xb"], outputCol="features")
    parity(PipelineModel([bucketizer, assembler, probe(1)]), FIELDS, [(v, 1) for v in BESIDE], "regression")
