"""StringIndexerModel beside Spark."""

from __future__ import annotations

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import StringIndexerModel, VectorAssembler

from jobs.bundle.convert import BundleError, Field, to_onnx

pytestmark = pytest.mark.spark

FIELDS = [Field("s", "string"), Field("t", "string")]
ROWS = [
    ("a", "u"),
    ("b", "v"),
    ("c", "u"),
    (None, "u"),
    ("a", None),
    ("unseen", "v"),
    ("a", "unseen"),
    ("", "v"),
    ("A", "u"),
    ("ü", "u"),
    (None, None),
    ("None", "u"),
]


def indexer(labels, inputs, invalid):
    return StringIndexerModel.from_arrays_of_labels(
        labels, inputs, [f"{name}_index" for name in inputs], invalid
    )


def pipeline(probe, stage, outputs):
    return PipelineModel(
        [stage, VectorAssembler(inputCols=outputs, outputCol="features"), probe(len(outputs))]
    )


def test_keep_gives_null_and_unseen_the_last_index(spark, parity, probe):
    """With `keep`, null and unseen answer as Spark's do, and the graph has no `invalid` output."""
    stage = indexer([["a", "b", "c", "ü"], ["u", "v"]], ["s", "t"], "keep")
    scored = parity(pipeline(probe, stage, ["s_index", "t_index"]), FIELDS, ROWS, "regression")
    assert "invalid" not in scored.outputs


@pytest.mark.parametrize("invalid", ["error", "skip"])
def test_refusals_name_the_first_column(spark, parity, probe, invalid):
    """With `error` and `skip`, null and unseen are refused under the name of the input, the first column first."""
    stage = indexer([["a", "b", "c", ""], ["u", "v"]], ["s", "t"], invalid)
    scored = parity(pipeline(probe, stage, ["s_index", "t_index"]), FIELDS, ROWS, "regression")
    assert scored.invalid == ["", "", "", "s", "t", "s", "t", "", "s", "s", "s", "s"]


def test_single_column(spark, parity, probe):
    """A model over one column (inputCol, not inputCols) is read as well."""
    stage = StringIndexerModel.from_labels(["b", "a"], "s", "s_index", "keep")
    parity(pipeline(probe, stage, ["s_index"]), FIELDS, ROWS, "regression")


@pytest.mark.parametrize(
    ("kind", "labels", "values"),
    [
        ("long", ["5", "-3", "12345678901"], [5, -3, 12345678901, 0, None]),
        ("int", ["5", "-3"], [5, -3, 0, None]),
        (
            "double",
            ["5.0", "0.1", "1.0E10", "-2.5"],
            [5.0, 0.1, 1e10, -2.5, 0.1 + 1e-17, 5.000000000000001, None],
        ),
        ("float", ["0.1", "5.0"], [0.1, 5.0, 0.2, None]),
    ],
)
def test_numbers_are_indexed_by_their_text(spark, parity, probe, kind, labels, values):
    """Spark indexes the text of a number; the graph finds the same label from the number itself."""
    stage = indexer([labels], ["n"], "keep")
    rows = [(value,) for value in values]
    parity(pipeline(probe, stage, ["n_index"]), [Field("n", kind)], rows, "regression")


def test_an_absent_input_is_passed_over(spark, parity, probe):
    """The indexer of a label leaves a function's rows, which have none, alone (Spark does so too)."""
    label = indexer([["yes", "no"]], ["label"], "error")
    stages = [label, *pipeline(probe, indexer([["a", "b"]], ["s"], "keep"), ["s_index"]).stages]
    parity(PipelineModel(stages), FIELDS, ROWS, "regression")


def test_labels_of_another_type_are_named(spark, tmp_path, probe):
    """A model trained on text does not fit a function whose column is a number, and the error says so."""
    stage = indexer([["a", "b"]], ["s"], "keep")
    pipeline(probe, stage, ["s_index"]).write().save(str(tmp_path / "model"))
    with pytest.raises(BundleError, match=r"label 'a' for the column 's', which is no double"):
        to_onnx(tmp_path / "model", [Field("s", "double")], "regression", None)
