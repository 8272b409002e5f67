"""OneHotEncoderModel beside Spark."""

from __future__ import annotations

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import OneHotEncoder, StringIndexerModel, VectorAssembler

from jobs.bundle.convert import Field

pytestmark = pytest.mark.spark

NUMBER = [Field("n", "double"), Field("m", "int")]
SEEN = [(0.0, 1), (1.0, 0), (2.0, 2), (3.0, 1)]


def encoded(table, probe, drop_last, invalid, assembled="keep"):
    encoder = OneHotEncoder(
        inputCols=["n", "m"], outputCols=["nv", "mv"], dropLast=drop_last, handleInvalid=invalid
    ).fit(table(NUMBER, SEEN))
    size = 4 + 3 + 2 * ((invalid == "keep") - drop_last)
    assembler = VectorAssembler(inputCols=["nv", "mv"], outputCol="features", handleInvalid=assembled)
    return PipelineModel([encoder, assembler, probe(size)])


@pytest.mark.parametrize("drop_last", [True, False])
def test_keep(spark, parity, probe, table, drop_last):
    """With `keep`, what is out of range has a place of its own, and a null index makes a null vector."""
    rows = [*SEEN, (4.0, 0), (-1.0, 1), (99.0, 7), (1.5, 1), (None, 1), (1.0, None), (-0.0, 0)]
    scored = parity(encoded(table, probe, drop_last, "keep"), NUMBER, rows, "regression")
    assert "invalid" not in scored.outputs


@pytest.mark.parametrize("drop_last", [True, False])
def test_error_refuses_what_is_out_of_range(spark, parity, probe, table, drop_last):
    """With `error`, an unseen or negative index is refused, and null is left to what reads the vector."""
    rows = [*SEEN, (4.0, 0), (-1.0, 1), (1.0, 7), (1.5, 1), (None, 1), (1.0, None)]
    scored = parity(encoded(table, probe, drop_last, "error"), NUMBER, rows, "regression")
    assert scored.invalid == [""] * 4 + ["n", "n", "m", "", "", ""]


def test_null_vectors_are_refused_by_a_strict_assembler(spark, parity, probe, table):
    """An assembler with `error` refuses a null vector under the name of the input that it came from."""
    rows = [*SEEN, (None, 1), (1.0, None), (4.0, None)]
    scored = parity(encoded(table, probe, True, "error", "error"), NUMBER, rows, "regression")
    assert scored.invalid == [""] * 4 + ["n", "m", "n"]


def test_a_null_vector_straight_into_the_model_is_refused(spark, parity, probe, table):
    """Spark fails on a null feature vector; the row is refused."""
    encoder = OneHotEncoder(inputCols=["n"], outputCols=["features"]).fit(table(NUMBER, SEEN))
    scored = parity(PipelineModel([encoder, probe(3)]), NUMBER, [*SEEN, (None, 1)], "regression")
    assert scored.invalid == [""] * 4 + ["n"]


@pytest.mark.parametrize("invalid", ["keep", "error"])
def test_after_an_indexer_nothing_is_refused_twice(spark, parity, probe, table, invalid):
    """After StringIndexer the encoder can refuse nothing: with `keep` the graph has no `invalid` output."""
    fields = [Field("s", "string")]
    rows = [("a",), ("b",), ("c",), (None,), ("unseen",)]
    indexer = StringIndexerModel.from_labels(["a", "b", "c"], "s", "si", invalid)
    assembler = VectorAssembler(inputCols=["sv"], outputCol="features")
    fitted = Pipeline(stages=[indexer, OneHotEncoder(inputCol="si", outputCol="sv"), assembler]).fit(
        table(fields, rows[:3])
    )
    size = 3 if invalid == "keep" else 2
    scored = parity(PipelineModel([fitted, probe(size)]), fields, rows, "regression")
    assert scored.invalid == ([] if invalid == "keep" else ["", "", "", "s", "s"])
