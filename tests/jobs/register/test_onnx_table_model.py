"""The loader that travels inside the MLflow model: every natural DataFrame gives the same answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import ModelProto

from jobs.register.client import onnx_table_model
from jobs.register.client.onnx_table_model import TableModel, _load_pyfunc
from tests.conftest import Stranger
from tests.jobs.small_packages import linear

_PREDICTS = """
import sys
sys.path.insert(0, sys.argv[1])
import onnx_table_model, pandas as pd
model = onnx_table_model._load_pyfunc(sys.argv[2])
print(model.predict(pd.DataFrame({"x": [1.5]}))["prediction"][0])
"""


def model_at(
    folder: Path, graph: ModelProto, inputs: dict[str, str], classes: list[Any] | None = None
) -> TableModel:
    """The loaded model of a graph, as MLflow would load it."""
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    columns = {"inputs": [{"name": name, "type": kind} for name, kind in inputs.items()], "classes": classes}
    (folder / "columns.json").write_text(json.dumps(columns))
    return _load_pyfunc(str(folder / "model.onnx"))


@pytest.mark.parametrize(
    "x",
    [
        pd.Series([1, 2], dtype="int64"),
        pd.Series([1, 2], dtype="int32"),
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([1.0, 2.0], dtype="float32"),
        pd.Series([1, 2], dtype=object),
        pd.Series(["1", "2"], dtype=object),
    ],
    ids=lambda series: str(series.dtype),
)
def test_a_number_may_come_in_any_numeric_type(tmp_path: Path, x: pd.Series) -> None:
    """Whole numbers, floats, nullable ones, objects and text with numbers score alike."""
    model = model_at(tmp_path, linear({"x": 2.0}), {"x": "double"})
    assert model.predict(pd.DataFrame({"x": x}))["prediction"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    "x",
    [
        pd.Series([1.0, np.nan]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, None], dtype=object),
        pd.Series([True, None], dtype=object),
        pd.Series([True, None], dtype="boolean"),
    ],
    ids=lambda series: str(series.dtype),
)
def test_a_missing_number_is_null(tmp_path: Path, x: pd.Series) -> None:
    """NaN, None and pandas' NA are all null, which this graph counts as 0; true is 1."""
    model = model_at(tmp_path, linear({"x": 2.0}), {"x": "double"})
    assert model.predict(pd.DataFrame({"x": x}))["prediction"].tolist() == [2.0, 0.0]


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_a_missing_string_is_null(tmp_path: Path, dtype: Any) -> None:
    """A null string reaches the graph as null, not as the text `None`, in each of pandas' string types."""
    graph = linear({"x": 1.0}, origin={"EWR": 3.0, "\0": 5.0})
    model = model_at(tmp_path, graph, {"origin": "string", "x": "double"})
    table = pd.DataFrame({"x": [1, 1], "origin": pd.Series(["EWR", None], dtype=dtype)})
    assert model.predict(table)["prediction"].tolist() == [4.0, 6.0]


def test_answers_keep_the_index_and_name_the_classes(tmp_path: Path) -> None:
    """A classifier answers with the label's own values, row by row of the table's index; columns in any order."""
    model = model_at(
        tmp_path,
        linear({"x": 1.0, "y": 1.0}, classes=["no", "yes"]),
        {"x": "double", "y": "int"},
        ["no", "yes"],
    )
    answers = model.predict(pd.DataFrame({"y": [1, -1], "more": [0, 0], "x": [1.0, 0.5]}, index=[7, 9]))
    assert list(answers.columns) == ["prediction", "probability_no", "probability_yes"]
    assert answers["prediction"].to_dict() == {7: "yes", 9: "no"}
    assert answers["probability_yes"].to_numpy() == pytest.approx(1 / (1 + np.exp([-2.0, 0.5])), abs=1e-12)


def test_a_refused_row_is_named_and_has_no_answer(tmp_path: Path) -> None:
    """Where the model refuses a value, `invalid` names the column and the answer is null, the other rows scored."""
    graph = linear({"x": 1.0}, classes=[0, 1], origin={"EWR": 0.0})
    model = model_at(tmp_path, graph, {"origin": "string", "x": "double"}, [0, 1])
    answers = model.predict(pd.DataFrame({"origin": ["EWR", "XXX"], "x": [1, 1]}))
    assert answers["invalid"].tolist() == ["", "origin"]
    assert answers["prediction"][0] == 1
    assert answers["prediction"].isna().tolist() == [False, True]


def test_a_float_is_rounded_as_spark_rounds_it(tmp_path: Path) -> None:
    """A column of Spark's float type holds singles: 0.1 is scored as the single nearest to it."""
    model = model_at(tmp_path, linear({"x": 1.0}), {"x": "float"})
    assert model.predict(pd.DataFrame({"x": [0.1]}))["prediction"].tolist() == [float(np.float32(0.1))]


def test_text_in_a_number_is_named(tmp_path: Path) -> None:
    """A value that is no number is an error that names the column."""
    model = model_at(tmp_path, linear({"x": 1.0}), {"x": "double"})
    with pytest.raises(TypeError, match="column 'x' must hold numbers or nulls"):
        model.predict(pd.DataFrame({"x": ["far"]}))


def test_predicting_reports_nothing(stranger: Stranger, tmp_path: Path) -> None:
    """Who loads the model has none of our settings: ONNX Runtime still leaves no id to report by in the home."""
    model_at(tmp_path, linear({"x": 2.0}), {"x": "double"})
    client = Path(onnx_table_model.__file__).parent
    assert stranger(_PREDICTS, str(client), str(tmp_path / "model.onnx")) == ("3.0", [])
