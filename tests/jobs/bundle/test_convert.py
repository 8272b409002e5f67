"""The graph as a whole: its interface, its refusals, its errors, and other people's clients."""

from __future__ import annotations

import mlflow.onnx
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from pyspark.ml import PipelineModel
from pyspark.ml.feature import Bucketizer, RegexTokenizer, SQLTransformer, StringIndexerModel, VectorAssembler

from jobs.bundle.convert import BundleError, Field, UnsupportedStage, to_onnx

FIELDS = [Field("s", "string"), Field("x", "double"), Field("n", "int"), Field("unused", "string")]
ROWS = [
    ("a", 1.0, 1, "u"),
    ("z", 1.0, 1, "u"),
    ("a", None, 2, "u"),
    ("z", None, 1, None),
    (None, 2.0, None, "u"),
]


def indexer(name, output, invalid):
    return StringIndexerModel.from_labels(["a", "b"], name, output, invalid)


def assembler(inputs, output="features", invalid="error"):
    return VectorAssembler(inputCols=inputs, outputCol=output, handleInvalid=invalid)


@pytest.mark.spark
def test_the_first_stage_that_refuses_is_named(spark, parity, probe):
    """Of several refusals, the one of the earliest stage is named, whatever the order of its columns."""
    stages = [
        assembler(["x", "n"], "numbers"),
        indexer("s", "si", "error"),
        assembler(["si", "numbers"]),
        probe(3),
    ]
    scored = parity(PipelineModel(stages), FIELDS, ROWS, "regression")
    assert scored.invalid == ["", "s", "x", "x", "n"]


@pytest.mark.spark
def test_a_column_of_several_inputs_is_named_itself(spark, parity, probe):
    """A refused column that rests on two inputs has its own name; one that rests on one has the input's."""
    made = SQLTransformer(statement="SELECT *, x + n AS total, x * 2 AS twice FROM __THIS__")
    stages = [
        made,
        assembler(["total"], "a", "skip"),
        assembler(["twice"], "b", "keep"),
        assembler(["a", "b"]),
        probe(2),
    ]
    scored = parity(PipelineModel(stages), FIELDS, ROWS, "regression")
    assert scored.invalid == ["", "", "total", "total", "total"]


@pytest.mark.spark
def test_unused_outputs_refuse_only_where_spark_drops(spark, parity, probe):
    """Spark computes nothing that the answer does not need: an unused `error` raises nothing, a `skip` drops."""
    used = [assembler(["x"], invalid="keep"), probe(1)]
    strict = parity(PipelineModel([indexer("s", "si", "error"), *used]), FIELDS, ROWS, "regression")
    assert strict.invalid == []
    skipping = parity(PipelineModel([indexer("s", "si", "skip"), *used]), FIELDS, ROWS, "regression")
    assert skipping.invalid == ["", "s", "", "s", "s"]


@pytest.mark.spark
def test_a_skip_meets_the_errors_before_it(spark, parity, probe):
    """What a dropping stage reads is computed for every row, and so are the refusals on the way to it."""
    bucketizer = Bucketizer(inputCol="x", outputCol="xb", splits=[0.0, 1.5, 3.0], handleInvalid="error")
    stages = [bucketizer, assembler(["xb"], "dropped", "skip"), assembler(["n"], invalid="keep"), probe(1)]
    scored = parity(PipelineModel(stages), FIELDS, [*ROWS, ("a", 9.0, 1, "u")], "regression")
    assert scored.invalid == ["", "", "x", "x", "", "x"]


@pytest.mark.spark
def test_interface_and_mlflow(spark, tmp_path, probe):
    """Rank-1 inputs for every field, used or not, rank-1 outputs; MLflow's own pyfunc wrapper scores the graph."""
    stages = [indexer("s", "si", "error"), assembler(["si", "x", "n"], invalid="keep"), probe(3)]
    PipelineModel(stages).write().save(str(tmp_path / "model"))
    model = to_onnx(tmp_path / "model", FIELDS, "regression", None)
    assert [len(value.type.tensor_type.shape.dim) for value in [*model.graph.input, *model.graph.output]] == [
        1
    ] * 6
    columns = [ColSpec("string" if f.type == "string" else "double", f.name, required=False) for f in FIELDS]
    mlflow.onnx.save_model(
        model,
        str(tmp_path / "mlflow"),
        signature=ModelSignature(Schema(columns)),
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1},
    )
    data = pd.DataFrame(
        [[None if v is None else v for v in row] for row in ROWS], columns=[f.name for f in FIELDS]
    )
    data["n"] = data["n"].astype(float)
    answer = mlflow.pyfunc.load_model(str(tmp_path / "mlflow")).predict(data)
    assert list(answer["invalid"]) == ["", "s", "", "s", "s"]
    assert np.isnan(np.asarray(answer["prediction"])).tolist() == [False, True, True, True, True]


@pytest.mark.spark
def test_one_row_answers_as_many_do(spark, parity, run, probe):
    """A row alone, an empty batch and a large batch: shapes follow the rows."""
    stages = [indexer("s", "si", "keep"), assembler(["si", "x", "n"], invalid="keep"), probe(3)]
    scored = parity(PipelineModel(stages), FIELDS, ROWS, "regression")
    many = run(scored.model, FIELDS, ROWS * 300)["prediction"]
    alone = [run(scored.model, FIELDS, [row])["prediction"][0] for row in ROWS]
    np.testing.assert_array_equal(many, alone * 300)
    assert run(scored.model, FIELDS, [])["prediction"].shape == (0,)


@pytest.mark.spark
def test_unsupported_stages_are_all_named(spark, tmp_path, probe):
    """Every stage that has no ONNX form is named, with the list of those that have."""
    stages = [RegexTokenizer(inputCol="s", outputCol="w"), assembler(["x"]), probe(1)]
    PipelineModel([PipelineModel(stages)]).write().save(str(tmp_path / "model"))
    with pytest.raises(
        UnsupportedStage, match=r"org\.apache\.spark\.ml\.feature\.RegexTokenizer; supported are Bucketizer, "
    ):
        to_onnx(tmp_path / "model", FIELDS, "regression", None)


@pytest.mark.spark
def test_the_model_must_fit_the_task(spark, tmp_path, probe):
    """A regressor is no classifier, and a pipeline without a predictor no function."""
    PipelineModel([assembler(["x"]), probe(1)]).write().save(str(tmp_path / "model"))
    with pytest.raises(BundleError, match="is a regressor, but the task is binary with 2 classes"):
        to_onnx(tmp_path / "model", FIELDS, "binary", 2)
    PipelineModel([assembler(["x"])]).write().save(str(tmp_path / "half"))
    with pytest.raises(BundleError, match="ends without a prediction"):
        to_onnx(tmp_path / "half", FIELDS, "regression", None)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["prediction"], "names of outputs"),
        (["probability_0"], "names of outputs"),
        (["x", "x"], "twice"),
        ([], "none"),
    ],
)
def test_input_names(tmp_path, names, said):
    """Inputs must have names of their own."""
    with pytest.raises(BundleError, match=said):
        to_onnx(tmp_path, [Field(name, "double") for name in names], "regression", None)


def test_field_types():
    """A type that no function takes is refused with those that it takes."""
    with pytest.raises(BundleError, match=r"is of type 'date'; a function takes string, double"):
        Field("day", "date")  # type: ignore[arg-type]


@pytest.mark.spark
def test_nodes_are_shared_and_unneeded_ones_left_out(spark, tmp_path, probe):
    """Equal work is done once, and what no output needs is not in the graph."""
    stages = [
        SQLTransformer(statement="SELECT *, sqrt(x) AS a, sqrt(x) AS b, exp(n) AS unneeded FROM __THIS__"),
        assembler(["a", "b"], invalid="keep"),
        probe(2),
    ]
    PipelineModel(stages).write().save(str(tmp_path / "model"))
    graph = to_onnx(tmp_path / "model", FIELDS, "regression", None).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Sqrt") == 1
    assert "Exp" not in kinds
