"""What estimator() owes, checked before anything is fitted."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.common import usercode
from jobs.train.estimator import build
from jobs.train.problem import Problem
from penstock.errors import PenstockError, UserCodeError

pytestmark = pytest.mark.spark

HEAD = """
from pyspark.ml import Pipeline, Transformer
from pyspark.ml.feature import PCA, StandardScaler, StringIndexer, VectorAssembler
from pyspark.ml import classification as c, regression as r

class Own(Transformer):
    def _transform(self, dataset):
        return dataset

ASSEMBLE = VectorAssembler(inputCols=["weight"], outputCol="features")

def estimator(params):
    return """


def built(
    project: Any,
    spark: Any,
    returned: str,
    task: str = "binary",
    balance: bool = False,
    metric: str = "log_loss",
) -> Any:
    """The estimator of a model that returns an expression, for a problem with one feature, `weight`."""
    project.model("stones", model=HEAD + returned)
    labels = [[True, 1], [False, 1]]
    spec = {
        "task": task, "label": "y", "time": "at", "id": "stone", "metric": metric, "better": "minimize",
        "balance": balance, "search": {"seed": 7}, "bundle": "onnx",
    }  # fmt: skip
    reference = {
        "columns": {"weight": {"role": "feature", "type": "double"}},
        "splits": {},
        "labels": None if task == "regression" else {"train": labels},
    }
    code = usercode.load("stones", project.settings.dags, spark)
    return build(code, {}, Problem.of(spec, reference))


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("[ASSEMBLE]", "estimator() returned list, expected an Estimator of pyspark.ml"),
        ("Pipeline(stages=[])", "it has no stages"),
        ("Pipeline(stages=[ASSEMBLE])", "its last stage is VectorAssembler, expected a classifier"),
        (
            "Pipeline(stages=[ASSEMBLE, r.LinearRegression(labelCol='y')])",
            "its last stage is LinearRegression, expected a",
        ),
        (
            "Pipeline(stages=[ASSEMBLE, c.LinearSVC(labelCol='y')])",
            "LinearSVC gives no probabilities, which the spec's metric log_loss asks for: expected a classifier "
            "with probabilities (GBTClassifier, LogisticRegression, …), or one of the metrics roc_auc, pr_auc, accuracy, f1",
        ),
        (
            "Pipeline(stages=[ASSEMBLE, c.OneVsRest(labelCol='y', classifier=c.LinearSVC(rawPredictionCol='r'))])",
            "LinearSVC has rawPredictionCol='r', expected the default 'rawPrediction'",
        ),
        (
            "Pipeline(stages=[ASSEMBLE, c.OneVsRest(labelCol='y', classifier=c.FMClassifier())])",
            "OneVsRest gives no probabilities",
        ),
        (
            "Pipeline(stages=[ASSEMBLE, c.GBTClassifier()])",
            "GBTClassifier has labelCol='label', expected the spec's label 'y'",
        ),
        (
            "Pipeline(stages=[ASSEMBLE, c.GBTClassifier(labelCol='y', predictionCol='p')])",
            "predictionCol='p', expected the default 'prediction'",
        ),
        (
            "Pipeline(stages=[StringIndexer(inputCol='y', outputCol='i'), ASSEMBLE, c.GBTClassifier(labelCol='y')])",
            "StringIndexer reads 'y', the label; its inputs may be features only",
        ),
        (
            "Pipeline(stages=[VectorAssembler(inputCols=['stone'], outputCol='features'), c.GBTClassifier(labelCol='y')])",
            "VectorAssembler reads 'stone', the id",
        ),
        (
            "Pipeline(stages=[VectorAssembler(inputCols=['wieght'], outputCol='features'), c.GBTClassifier(labelCol='y')])",
            "reads the column 'wieght', which is not there; there are: weight",
        ),
        (
            "Pipeline(stages=[ASSEMBLE, PCA(k=1, inputCol='features', outputCol='x'), Own(), c.GBTClassifier(labelCol='y')])",
            "stages that cannot become a function",
        ),
    ],
)
def test_what_cannot_be_trained_is_named(project: Any, spark: Any, returned: str, said: str) -> None:
    """Each wrong estimator is refused before a fit, naming the stage, what was found and what was expected."""
    with pytest.raises(PenstockError) as raised:
        built(project, spark, returned)
    assert said in str(raised.value)


def test_balance_needs_a_predictor_with_weights(project: Any, spark: Any) -> None:
    """balance=True sets weightCol, and refuses a predictor that sets its own."""
    made = built(project, spark, "Pipeline(stages=[ASSEMBLE, c.GBTClassifier(labelCol='y')])", balance=True)
    assert made.getStages()[-1].getWeightCol() == "_weight"
    with pytest.raises(UserCodeError, match="sets weightCol='weight', which balance=True of the spec sets"):
        built(
            project,
            spark,
            "Pipeline(stages=[ASSEMBLE, c.GBTClassifier(labelCol='y', weightCol='weight')])",
            balance=True,
        )


def test_one_vs_rest_is_looked_into(project: Any, spark: Any) -> None:
    """The classifier that it repeats is the one that gets a seed, and that must know weights where classes are balanced."""

    def repeated(classifier: str, **kwargs: Any) -> Any:
        stages = f"[ASSEMBLE, c.OneVsRest(labelCol='y', classifier={classifier})]"
        return built(project, spark, f"Pipeline(stages={stages})", metric="accuracy", **kwargs).getStages()[
            -1
        ]

    made = repeated("c.GBTClassifier()", balance=True)
    assert (made.getClassifier().getSeed(), made.getWeightCol()) == (7, "_weight")
    perceptron = "c.MultilayerPerceptronClassifier(layers=[1, 2])"
    with pytest.raises(UserCodeError, match="MultilayerPerceptronClassifier knows no weights"):
        repeated(perceptron, balance=True)
    with pytest.raises(
        PenstockError,
        match=r"cannot become a function of the kind onnx: pyspark\.ml\.classification\.FMClassifier",
    ):
        repeated("c.FMClassifier()")


def test_a_seed_is_set_where_the_user_set_none(project: Any, spark: Any) -> None:
    """pyspark's own default differs from process to process; a seed of the user's own stays."""
    own = built(project, spark, "Pipeline(stages=[ASSEMBLE, c.GBTClassifier(labelCol='y')])")
    users = built(project, spark, "Pipeline(stages=[ASSEMBLE, c.GBTClassifier(labelCol='y', seed=3)])")
    assert (own.getStages()[-1].getSeed(), users.getStages()[-1].getSeed()) == (7, 3)


def test_pipelines_within_pipelines_are_made_flat(project: Any, spark: Any) -> None:
    """Stages of a nested pipeline come in their order, and a single predictor is a pipeline of one."""
    scale = "StandardScaler(inputCol='features', outputCol='scaled')"
    made = built(
        project, spark,
        f"Pipeline(stages=[Pipeline(stages=[ASSEMBLE, {scale}]), c.LogisticRegression(labelCol='y', featuresCol='scaled')])",
    )  # fmt: skip
    names = [type(stage).__name__ for stage in made.getStages()]
    assert names == ["VectorAssembler", "StandardScaler", "LogisticRegression"]
