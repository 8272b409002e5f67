"""The scorer answers as the samples do, refuses what the model refuses, and will not serve a model that differs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock_function.package import Package, PackageError
from penstock_function.records import NULL
from penstock_function.scorer import InputError, Scorer
from tests.conftest import Stranger

MakePackage = Callable[..., Path]

_SCORES = """
import sys
from penstock_function.scorer import Package, Scorer
Scorer(Package.load(sys.argv[1])).prove()
"""


def test_prove_accepts_spark_like_answers(scorer: Scorer) -> None:
    """A right answer, one over nulls and a refused row are all proven."""
    scorer.prove()


def test_a_record_gets_its_class_and_probabilities(scorer: Scorer, right: dict[str, Any]) -> None:
    """The answer carries the label's own value and the probability of each class under str(class)."""
    [answer] = scorer.score([{**right, "carrier": "DL", "distance": -6.5}])
    score = -1 - 6.5 + 0.25 + 2 + 3 + 1
    assert answer["prediction"] == 0
    assert answer["probability"].keys() == {"0", "1"}
    assert answer["probability"]["1"] == pytest.approx(1 / (1 + math.exp(-score)), abs=1e-15)


def test_string_classes_keep_their_names(make_package: MakePackage, right: dict[str, Any]) -> None:
    """A model over text labels answers with the text, never with an index."""
    scorer = Scorer(Package.load(make_package(classes=["on time", "late"])))
    scorer.prove()
    [answer] = scorer.score([right])
    assert answer["prediction"] == "late"
    assert list(answer["probability"]) == ["on time", "late"]


def test_output_prediction_leaves_probabilities_out(make_package: MakePackage, right: dict[str, Any]) -> None:
    """Where the spec asks for the prediction only, the answer holds only that."""
    scorer = Scorer(Package.load(make_package(output="prediction")))
    scorer.prove()
    assert scorer.score([right]) == [{"prediction": 1}]


def test_a_classifier_may_give_no_probabilities(
    make_package: MakePackage, graph: Callable[[str], bytes], right: dict[str, Any]
) -> None:
    """Then the graph has a raw score of two classes, nothing of more, and the package's output is the prediction."""
    import onnx

    model = onnx.load_from_string(graph("binary"))
    kept = [output for output in model.graph.output if not output.name.startswith("probability")]
    raw = onnx.helper.make_tensor_value_info("rawPrediction", onnx.TensorProto.DOUBLE, ["N"])
    model.graph.node.append(onnx.helper.make_node("Identity", ["score"], ["rawPrediction"]))
    del model.graph.output[:]
    model.graph.output.extend([*kept, raw])
    scorer = Scorer(Package.load(make_package(output="prediction", model=model.SerializeToString())))
    assert scorer.score([right]) == [{"prediction": 1}]
    columns = {field.name: [right[field.name]] for field in scorer.package.inputs}
    assert scorer.score_columns(columns).keys() == {"prediction", "rawPrediction", "invalid"}
    with pytest.raises(PackageError, match="does not give what a package must"):
        Scorer(Package.load(make_package(output="probability", model=model.SerializeToString())))
    model.graph.output.pop()
    three = {"task": "multiclass", "classes": [0, 1, 2], "output": "prediction"}
    Scorer(Package.load(make_package(**three, model=model.SerializeToString())))


def test_a_regression_answers_with_a_number(make_package: MakePackage, right: dict[str, Any]) -> None:
    """A regression's prediction is the value itself."""
    scorer = Scorer(Package.load(make_package(task="regression")))
    scorer.prove()
    assert scorer.score([right]) == [{"prediction": 7.75}]


def test_an_overflowing_prediction_is_null(make_package: MakePackage, right: dict[str, Any]) -> None:
    """JSON has no infinity: a sum beyond the largest double is answered with null, the next row unharmed."""
    scorer = Scorer(Package.load(make_package(task="regression")))
    huge = {**right, "distance": 1.7976931348623157e308, "ratio": 3.4e38, "seats": 2**53}
    answers = scorer.score([{**huge, "carrier": "AA"}, right])
    assert answers[1] == {"prediction": 7.75}
    assert answers[0]["prediction"] is None or math.isfinite(answers[0]["prediction"])


@pytest.mark.parametrize("carrier", [None, "nobody", "", "aa", NULL, "\u202eAA"])
def test_what_the_model_refuses_is_a_fault(
    scorer: Scorer, right: dict[str, Any], carrier: str | None
) -> None:
    """A null or unseen category is refused by the row and column that the model named."""
    with pytest.raises(InputError, match="null or unseen category") as caught:
        scorer.score([right, {**right, "carrier": carrier}])
    [fault] = caught.value.faults
    assert (fault["row"], fault["field"]) == (1, "carrier")


def test_no_records_get_no_answers(scorer: Scorer) -> None:
    """An empty list is answered with an empty list: whether that is an error is for the protocol to say."""
    assert scorer.score([]) == []


def test_unicode_categories_are_known(scorer: Scorer, right: dict[str, Any]) -> None:
    """A category with letters beyond ASCII is found again."""
    assert scorer.score([{**right, "carrier": "Zürich ☃"}])[0]["prediction"] == 1


def test_columns_are_scored_in_bulk(scorer: Scorer, right: dict[str, Any]) -> None:
    """Columns give the graph's raw outputs: the same numbers as records, refused rows as NaN with their column."""
    columns = {name: np.array([value, value, value], dtype=object) for name, value in right.items()}
    columns["carrier"] = np.array(["AA", None, math.nan], dtype=object)
    columns["distance"] = np.array([0.5, 0.5, np.nan])
    outputs = scorer.score_columns(columns)
    assert outputs.keys() == {"prediction", "probability_0", "probability_1", "invalid"}
    assert outputs["probability_1"][0] == scorer.score([right])[0]["probability"]["1"]
    assert outputs["invalid"].tolist() == ["", "carrier", "carrier"]
    assert np.isnan(outputs["prediction"][1:]).all()


def test_columns_that_do_not_fit_are_named(scorer: Scorer, right: dict[str, Any]) -> None:
    """A missing column and one of another length are both faults."""
    columns = {name: np.array([value] * 3, dtype=object) for name, value in right.items()}
    del columns["seats"]
    columns["month"] = columns["month"][:2]
    with pytest.raises(InputError) as caught:
        scorer.score_columns(columns)
    assert {fault["field"] for fault in caught.value.faults} == {"seats", "month"}


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ({"prediction": 1, "probability": {"0": 0.5, "1": 0.5}}, "probability of 0"),
        (
            {"prediction": 0, "probability": {"0": 0.00043055708132455547, "1": 0.9995694429186754}},
            "prediction",
        ),
        ({"prediction": 1}, "probability of 0"),
        (
            {"prediction": "1", "probability": {"0": 0.00043055708132455547, "1": 0.9995694429186754}},
            "prediction",
        ),
        ({"prediction": 1, "probability": {"0": None, "1": 0.9995694429186754}}, "probability of 0"),
        ({"invalid": "carrier"}, "invalid"),
    ],
)
def test_a_sample_that_differs_is_refused(
    make_package: MakePackage, right: dict[str, Any], answer: dict[str, Any], named: str
) -> None:
    """A model that does not give Spark's answer is refused, naming the sample and the output."""
    unseen = {**right, "carrier": "nobody"}
    samples = {"records": [unseen, right], "answers": [{"invalid": "carrier"}, answer]}
    with pytest.raises(PackageError, match=f"sample 1 does not prove the model: {named} is"):
        Scorer(Package.load(make_package(samples=samples))).prove()


def test_the_tolerance_is_relative_above_one(make_package: MakePackage, right: dict[str, Any]) -> None:
    """A difference of 1e-3 in a million is within 1e-6 of it, in one it is not."""
    far = {**right, "distance": 1e6 - 7.25}
    for record, value, good in [(far, 1e6 + 1e-3, True), (right, 7.751, False)]:
        samples = {"records": [record], "answers": [{"prediction": value}]}
        scorer = Scorer(Package.load(make_package(task="regression", samples=samples)))
        if good:
            scorer.prove()
        else:
            with pytest.raises(PackageError, match="sample 0"):
                scorer.prove()


def test_samples_that_the_inputs_refuse_are_named(make_package: MakePackage, right: dict[str, Any]) -> None:
    """A sample with a wrong type is a fault of the package, not a crash."""
    samples = {"records": [{**right, "seats": "2"}], "answers": [{"prediction": 1}]}
    with pytest.raises(PackageError, match=r"samples.json holds records.*field 'seats'"):
        Scorer(Package.load(make_package(samples=samples))).prove()


def test_a_file_that_is_no_model_is_refused(make_package: MakePackage) -> None:
    """Bytes that ONNX Runtime cannot read are a package error with its reason."""
    with pytest.raises(PackageError, match=r"model.onnx cannot be loaded"):
        Scorer(Package.load(make_package(model=b"not a model")))


def test_a_graph_with_other_inputs_is_refused(make_package: MakePackage) -> None:
    """A manifest whose columns are in another order than the graph's would score the wrong columns."""
    folder = make_package()
    package = Package.load(folder)
    inputs = [{"name": field.name, "type": field.type} for field in reversed(package.inputs)]
    with pytest.raises(PackageError, match="does not read the package's inputs"):
        Scorer(Package.load(make_package(inputs=inputs)))


def test_a_graph_with_other_outputs_is_refused(
    make_package: MakePackage, graph: Callable[[str], bytes]
) -> None:
    """Three classes over a graph of two would answer with classes that do not exist."""
    with pytest.raises(PackageError, match="does not give what a package must"):
        Scorer(
            Package.load(
                make_package(
                    task="multiclass",
                    classes=[0, 1, 2],
                    model=graph("binary"),
                    samples={"records": [{}], "answers": [{}]},
                )
            )
        )


def test_scoring_reports_nothing(stranger: Stranger, make_package: MakePackage) -> None:
    """ONNX Runtime reports usage unless told not to, from an id that it leaves in the home: there is none."""
    assert stranger(_SCORES, str(make_package())) == ("", [])
