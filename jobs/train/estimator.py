"""The user's estimator, checked before anything is fitted, and made reproducible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jobs.bundle.check import base, check_estimator
from jobs.train.data import WEIGHT
from penstock.errors import UserCodeError
from penstock.spec.metrics import METRICS, OF_PROBABILITIES

if TYPE_CHECKING:
    from pyspark.ml import Pipeline
    from pyspark.ml.param import Params

    from jobs.common.usercode import UserCode
    from jobs.train.problem import Problem

#: The names of the columns that a predictor adds; the function's answers are read from these.
OUTPUTS = {
    "predictionCol": "prediction",
    "probabilityCol": "probability",
    "rawPredictionCol": "rawPrediction",
}


def build(code: UserCode, params: Mapping[str, Any], problem: Problem) -> Pipeline:
    """The estimator of one parameter set as a flat pipeline, with seeds and, for balance, the weight column set.

    Raises:
        UserCodeError: `estimator()` raised, or what it returned cannot be trained here; every fault is named.
        UnsupportedStage: a stage, or an option of one, has no form in a function.
        BundleError: a stage reads a column that is not there.
    """
    from pyspark.ml import Estimator, Pipeline

    made = code.call("estimator", dict(params))
    if not isinstance(made, Estimator):
        raise UserCodeError(
            f"estimator() returned {type(made).__name__}, expected an Estimator of pyspark.ml",
            next_step="return a pyspark.ml Pipeline, or a single predictor such as GBTClassifier",
        )
    stages = list(_flat(made))
    if faults := [*_predictor_faults(stages, problem), *_input_faults(stages, problem)]:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise UserCodeError(
            f"estimator() returned a pipeline with {len(faults)} fault{'s' * (len(faults) > 1)}:\n{lines}",
            next_step="mend estimator() in model.py",
        )
    pipeline = Pipeline(stages=stages)
    check_estimator(pipeline, problem.fields, problem.bundle)
    for stage in map(base, stages):
        # pyspark's own default is the hash of a string: another one in every process.
        if stage.hasParam("seed") and not stage.isSet("seed"):
            stage.set(stage.getParam("seed"), problem.search.seed)
    if problem.balance:
        stages[-1].set(stages[-1].getParam("weightCol"), WEIGHT)
    return pipeline


def _flat(stage: Any) -> Iterator[Any]:
    from pyspark.ml import Pipeline, PipelineModel

    if isinstance(stage, Pipeline):
        for inner in stage.getStages():
            yield from _flat(inner)
    elif isinstance(stage, PipelineModel):
        for inner in stage.stages:
            yield from _flat(inner)
    else:
        yield stage


def _predictor_faults(stages: list[Any], problem: Problem) -> list[str]:
    from pyspark.ml.classification import Classifier, OneVsRest
    from pyspark.ml.regression import Regressor

    if not stages:
        return ["it has no stages"]
    last, faults = stages[-1], []
    name = type(last).__name__
    wanted, said = (
        ((Regressor,), "a regressor (GBTRegressor, LinearRegression, …)")
        if problem.task == "regression"
        else ((Classifier, OneVsRest), "a classifier (GBTClassifier, LogisticRegression, …)")
    )
    if not isinstance(last, wanted):
        return [f"its last stage is {name}, expected {said} for a {problem.task} task"]
    if last.getOrDefault("labelCol") != problem.label:
        faults.append(
            f"{name} has labelCol={last.getOrDefault('labelCol')!r}, expected the spec's label {problem.label!r}"
        )
    faults += [
        f"{type(stage).__name__} has {param}={stage.getOrDefault(param)!r}, expected the default {default!r}"
        for stage in dict.fromkeys((last, base(last)))
        for param, default in OUTPUTS.items()
        if stage.hasParam(param) and stage.getOrDefault(param) != default
    ]
    if problem.metric in OF_PROBABILITIES and not last.hasParam("probabilityCol"):
        others = ", ".join(other for other in METRICS[problem.task] if other not in OF_PROBABILITIES)
        faults.append(
            f"{name} gives no probabilities, which the spec's metric {problem.metric} asks for: expected a classifier "
            f"with probabilities (GBTClassifier, LogisticRegression, …), or one of the metrics {others}"
        )
    if problem.balance and not base(last).hasParam("weightCol"):
        faults.append(
            f"{type(base(last)).__name__} knows no weights, and the spec asks for balance=True: expected one with weightCol"
        )
    elif problem.balance and last.isSet("weightCol"):
        faults.append(
            f"{name} sets weightCol={last.getOrDefault('weightCol')!r}, which balance=True of the spec sets"
        )
    return faults


def _input_faults(stages: list[Any], problem: Problem) -> list[str]:
    """Inputs that a function will never get: the label, the id, the time."""
    roles = {problem.label: "label", problem.id: "id", problem.time: "time"}
    return [
        f"{type(stage).__name__} reads {name!r}, the {roles[name]}; its inputs may be features only"
        for stage in stages
        for name in _inputs(stage)
        if name in roles
    ]


def _inputs(stage: Params) -> list[str]:
    names: list[str] = []
    for param in ("inputCol", "featuresCol", "offsetCol"):
        if stage.hasParam(param) and stage.isDefined(param):
            names.append(stage.getOrDefault(param))
    if stage.hasParam("inputCols") and stage.isDefined("inputCols"):
        names += stage.getOrDefault("inputCols")
    return names
