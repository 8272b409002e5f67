"""Training from features to a model, for every task."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from jobs.common import metrics
from tests.jobs.frames import frame_of

pytestmark = pytest.mark.spark

PREDICTORS = {
    "binary": 'c.LogisticRegression(labelCol="late", regParam=params["reg"])',
    "multiclass": 'c.RandomForestClassifier(labelCol="kind", numTrees=5, maxDepth=params["reg"])',
    "regression": 'r.GBTRegressor(labelCol="price", maxIter=3, maxDepth=params["reg"])',
}
SEARCH = {"binary": {"reg": [0.001, 10.0]}, "multiclass": {"reg": [2, 5]}, "regression": {"reg": [1, 4]}}
CLASSES = {"binary": [0, 1], "multiclass": ["chalk", "flint", "quartz"], "regression": None}


def trained(quarry: Any, task: str, table: pa.Table | None = None, **spec: Any) -> Any:
    """The result of training the usual predictor of a task."""
    quarry.model(PREDICTORS[task])
    outcome, result = quarry.train(quarry.item(quarry.features(task, table), search=SEARCH[task], **spec))
    assert result is not None, outcome.message
    return result


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_task_leaves_all_that_is_promised(quarry: Any, spark: Any, task: str) -> None:
    """The model that was saved, the scored holdout, the metrics and the samples all tell the same."""
    from pyspark.ml import PipelineModel

    result = trained(quarry, task)
    classes, table = CLASSES[task], quarry.holdout(result)
    count = 0 if classes is None else len(classes)
    label = result.spec["label"]
    assert table.column_names == [
        "stone", "at", label, "colour", "weight", "size", "shiny", "_prediction",
        *[f"_probability_{k}" for k in range(count)],
    ]  # fmt: skip
    assert table["stone"].to_pylist() == sorted(table["stone"].to_pylist())
    assert table.num_rows == result.summary["rows"]["holdout"] == 100
    facts = result.summary
    assert facts["classes"] == classes
    assert facts["inputs"] == [
        {"name": "colour", "type": "string"}, {"name": "weight", "type": "double"},
        {"name": "size", "type": "int"}, {"name": "shiny", "type": "boolean"},
    ]  # fmt: skip
    assert facts["stages"][:3] == ["StringIndexerModel", "ImputerModel", "VectorAssembler"]
    assert result.digest == result.key

    probabilities = np.column_stack([table[f"_probability_{k}"] for k in range(count)]) if count else None
    y, prediction = table[label].to_numpy().astype(float), table["_prediction"].to_numpy()
    assert facts["metrics"] == pytest.approx(metrics.compute(task, y, prediction, probabilities))  # type: ignore[arg-type]
    if probabilities is not None:
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(100))
        assert (probabilities.argmax(axis=1) == prediction).mean() > 0.99  # a tie may go either way

    samples = quarry.json(result, "samples.json")
    answered = [pair for pair in zip(*samples.values(), strict=True) if "invalid" not in pair[1]]
    model = PipelineModel.load(quarry.store.uri_of(f"{result.path}/model"))
    records = [tuple(record.values()) for record, _ in answered]
    frame = frame_of(spark, "colour string, weight double, size int, shiny boolean", records)
    for row, (_, answer) in zip(model.transform(frame).collect(), answered, strict=True):
        value = row["prediction"]
        assert answer["prediction"] == (value if classes is None else classes[int(value)])
        if classes is not None:
            assert list(answer["probability"].values()) == pytest.approx(list(row["probability"]), abs=1e-12)
    assert [answer for answer in samples["answers"] if "invalid" in answer] == [
        {"invalid": "size"},
        {"invalid": "shiny"},
    ]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_classifier_without_probabilities(quarry: Any, spark: Any, task: str) -> None:
    """It is chosen and judged by what it gives: classes, and of two of them Spark's own area by the raw score."""
    from pyspark.ml import PipelineModel
    from pyspark.ml.evaluation import BinaryClassificationEvaluator

    label = {"binary": "late", "multiclass": "kind"}[task]
    svc = 'c.LinearSVC(labelCol="late", regParam=params["reg"])'
    quarry.model(
        svc if task == "binary" else f'c.OneVsRest(labelCol="{label}", classifier=c.LinearSVC(maxIter=5))'
    )
    metric = {"binary": "roc_auc", "multiclass": "macro_f1"}[task]
    item = quarry.item(quarry.features(task), search={"reg": [0.01, 1.0]}, metric=metric, better="maximize")
    outcome, result = quarry.train(item)
    assert result is not None, outcome.message
    table, facts = quarry.holdout(result), result.summary
    scores = [name for name in table.column_names if name.startswith("_")]
    assert all(
        set(answer) <= {"prediction", "invalid"} for answer in quarry.json(result, "samples.json")["answers"]
    )
    model = PipelineModel.load(quarry.store.uri_of(f"{result.path}/model"))
    made = model.transform(spark.createDataFrame(table.drop_columns(scores)))
    if task == "multiclass":
        assert scores == ["_prediction"]
        assert facts["metrics"].keys() == {"accuracy", "macro_f1"}
    else:
        assert scores == ["_prediction", "_rawPrediction"]
        assert facts["metrics"].keys() == {"roc_auc", "pr_auc", "accuracy", "f1"}
        made = made.withColumn("late", made["late"].cast("double"))
        area = BinaryClassificationEvaluator(labelCol="late", numBins=0).evaluate(made)
        assert facts["metrics"]["roc_auc"] == pytest.approx(area)
    assert sorted(row["prediction"] for row in made.collect()) == sorted(table["_prediction"].to_pylist())


def test_samples_hold_a_null_in_each_column_and_unseen_values(quarry: Any) -> None:
    """Beside fifty real rows there is one with each feature null, and one with a value that training never saw."""
    records = quarry.json(trained(quarry, "binary"), "samples.json")["records"]
    assert len(records) == 50 + 4 + 1
    nulled = [
        next(name for name, value in record.items() if value is None)
        for record in records[-5:]
        if None in record.values()
    ]
    assert set(nulled) == {"colour", "weight", "size", "shiny"}
    assert records[-4]["colour"] not in ("red", "green", "blue", None)


def test_the_holdout_is_never_seen(quarry: Any) -> None:
    """With every label and value of the holdout changed, the same trials are judged the same, and the model is the same."""
    table = quarry.stones()
    cut = 500
    late = pa.concat_arrays(
        [table["late"].combine_chunks()[:cut], pc.invert(table["late"].combine_chunks()[cut:])]
    )
    changed = table.set_column(table.column_names.index("late"), "late", late)
    one, two = trained(quarry, "binary", table), trained(quarry, "binary", changed)
    assert one.key != two.key
    judged = [[(t["params"], t["metric"]) for t in quarry.json(r, "trials.json")] for r in (one, two)]
    assert judged[0] == judged[1]
    assert quarry.json(one, "samples.json") == quarry.json(two, "samples.json")
    assert one.summary["metrics"] != two.summary["metrics"]


def test_the_best_trial_is_chosen_and_refitted(quarry: Any) -> None:
    """The parameters with the best metric on validation are those of the model; trials are kept in order."""
    result = trained(quarry, "binary")
    trials = quarry.json(result, "trials.json")
    assert [trial["params"] for trial in trials] == [{"reg": 0.001}, {"reg": 10.0}]
    assert trials[0]["metric"] < trials[1]["metric"]
    assert result.summary["params"] == {"reg": 0.001}


def test_balance_weighs_classes_the_same(quarry: Any) -> None:
    """With one label in twenty, a balanced model gives the rare class about half of the probability; else a twentieth."""
    late = np.random.default_rng(5).random(600) < 0.05
    late[[450, 550]] = True
    table = quarry.stones(late=late)
    means = []
    for balance in (False, True):
        scored = quarry.holdout(trained(quarry, "binary", table, balance=balance))
        means.append(float(np.mean(scored["_probability_1"])))
    assert means[0] < 0.1
    assert 0.35 < means[1] < 0.65


@pytest.mark.parametrize("invalid", ["error", "skip"])
def test_rows_that_the_model_refuses_have_no_answer(quarry: Any, invalid: str) -> None:
    """An unseen category in the holdout: no prediction, out of the metrics, counted; the sample says which column."""
    table = quarry.stones()
    colour = [
        "violet" if n in (520, 580) else value or "red" for n, value in enumerate(table["colour"].to_pylist())
    ]
    table = table.set_column(table.column_names.index("colour"), "colour", pa.array(colour))
    quarry.model(PREDICTORS["binary"], invalid=invalid)
    _, result = quarry.train(quarry.item(quarry.features("binary", table), search={"reg": [0.1]}))
    scored = quarry.holdout(result)
    refused = scored.filter(pc.is_null(scored["_prediction"]))
    assert refused["stone"].to_pylist() == ["s0000520", "s0000580"]
    assert result.summary["rows"]["refused"] == 2
    samples = quarry.json(result, "samples.json")
    answers = {answer.get("invalid") for answer in samples["answers"]}
    assert {"colour"} <= answers
    for record, answer in zip(samples["records"], samples["answers"], strict=True):
        assert ("invalid" in answer) == (
            record["colour"] not in ("red", "green", "blue") or None in (record["size"], record["shiny"])
        )


def test_an_mlflow_that_is_down_is_told(quarry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training needs MLflow for its runs: without it the job ends with where it is and what to do, and no result."""
    quarry.model(PREDICTORS["binary"])
    item = quarry.item(quarry.features(), search=SEARCH["binary"])
    monkeypatch.setenv("PENSTOCK_MLFLOW_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    outcome, result = quarry.train(item)
    assert (outcome.state, result) == ("failed", None)
    assert str(outcome.message).startswith("MLflow at http://127.0.0.1:9 refused: API request")
    assert outcome.next_step
