"""train: searches parameters, refits the best, scores the holdout, and writes the model with Spark's answers."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from jobs.common.job import Done, Work
from jobs.train.problem import Problem
from penstock.errors import UserCodeError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.ml import PipelineModel
    from pyspark.sql import SparkSession

    from jobs.common.usercode import UserCode
    from jobs.train.runs import Runs
    from jobs.train.search import Trial


def run(work: Work) -> Done:
    """Train the model of one key.

    Raises:
        UserCodeError: model.py raised, `estimator()` returned what cannot be trained, or every trial failed.
        PenstockError: MLflow refused.
    """
    from jobs.common import tracking
    from jobs.common.spark import lease
    from jobs.train.runs import Runs

    reference = json.loads(work.fetch("features", "reference.json").read_text(encoding="utf-8"))
    problem = Problem.of(work.spec, reference)
    # MLflow takes as long to import as the JVM to start.
    with tracking.told(work.settings), ThreadPoolExecutor(1) as beside:
        connecting = beside.submit(tracking.connect, work.settings, work.request.pipeline, work.scratch)
        with lease(work, sum(problem.rows.values())) as spark:
            client, experiment = connecting.result()
            interval = "{start:.10} to {end:.10}".format(**reference["window"])
            runs = Runs(client, experiment, work, interval)
            try:
                return _train(work, spark, problem, runs)
            except BaseException as error:
                runs.fail(error)
                raise


def _train(work: Work, spark: SparkSession, problem: Problem, runs: Runs) -> Done:
    from jobs.common import metrics, usercode
    from jobs.common.spark import output_uri, said
    from jobs.train import samples, scoring

    code = usercode.load(work.request.pipeline, work.settings.dags, spark)
    trials, best, model = _fit(work, spark, problem, code, runs)
    with output_uri(work, spark, "model") as place, code.blamed("saving the model"):
        model.save(place)
    scored = _score_holdout(work, spark, problem, code, model)
    classes = None if problem.classes is None else len(problem.classes)
    columns = scoring.arrays(scored, problem.label, classes)
    found = metrics.compute(problem.task, *columns)
    if not math.isfinite(found[problem.metric]):
        raise UserCodeError(
            f"{problem.metric} on the holdout is {found[problem.metric]}: the model refuses every row, or gives no numbers",
            next_step="set handleInvalid='keep' and impute nulls in estimator()",
        )
    found = {name: value for name, value in found.items() if math.isfinite(value)}
    refused = scored[scoring.PREDICTION].null_count
    _write(work, scored, samples.make(spark, model, scored, problem), trials)
    values = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
    base = _base_rate(columns[0], classes)
    print(
        f"holdout: {scored.num_rows} rows, base rate {base:.4f}, {values}; {refused} rows refused", flush=True
    )
    runs.end(best.params, found, [trial.to_json() for trial in trials])
    return Done(
        digest=work.item.key,
        outputs=["model", "holdout.parquet", "samples.json", "trials.json"],
        summary={
            "metrics": found,
            "base_rate": base,
            "params": dict(best.params),
            "trials": len(trials),
            "failed_trials": sum(trial.error is not None for trial in trials),
            "classes": problem.classes,
            "inputs": [{"name": field.name, "type": field.type} for field in problem.fields],
            "rows": {**problem.rows, "refused": refused},
            "mlflow_run_id": runs.parent,
            "mlflow_experiment_id": runs.experiment,
            "stages": [type(stage).__name__ for stage in model.stages],
            **said(spark),
        },
    )


def _fit(
    work: Work, spark: SparkSession, problem: Problem, code: UserCode, runs: Runs
) -> tuple[list[Trial], Trial, PipelineModel]:
    """Search, then fit the best parameters on train and validation together."""
    from jobs.common.spark import cached
    from jobs.train import data
    from jobs.train.estimator import build
    from jobs.train.search import best, search

    with (
        cached(data.load(work, spark, problem, "train")) as train,
        cached(data.load(work, spark, problem, "validation", weighted=False)) as validation,
    ):
        trials = search(code, problem, train, validation, runs)
    chosen = best(trials, problem)
    assert chosen is not None
    with cached(data.load(work, spark, problem, "train", "validation")) as both, code.blamed("estimator()"):
        model = build(code, chosen.params, problem).fit(both)
    print(f"refitted on {problem.rows['train'] + problem.rows['validation']} rows", flush=True)
    return trials, chosen, model


def _score_holdout(
    work: Work, spark: SparkSession, problem: Problem, code: UserCode, model: PipelineModel
) -> pa.Table:
    from jobs.common.spark import cached
    from jobs.train import data, scoring

    names = [problem.id, problem.time, problem.label, *[field.name for field in problem.fields]]
    classes = None if problem.classes is None else len(problem.classes)
    holdout = data.load(work, spark, problem, "holdout", weighted=False).select(*names)
    with cached(holdout), code.blamed("estimator()"):
        return scoring.score_all(model, holdout, problem.id, classes)


def _write(work: Work, scored: pa.Table, samples: dict[str, Any], trials: list[Trial]) -> None:
    import pyarrow.parquet as pq

    pq.write_table(scored, work.scratch / "holdout.parquet")
    texts = {"samples.json": samples, "trials.json": [trial.to_json() for trial in trials]}
    for name, value in texts.items():
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
        (work.scratch / name).write_text(text, encoding="utf-8")
    for name in ("holdout.parquet", *texts):
        work.put(work.scratch / name, name)


def _base_rate(label: Any, classes: int | None) -> float:
    """The share of class 1 of two, the share of the largest of more, or the mean of the label."""
    if classes is None or classes == 2:
        return float(label.mean())
    return max(float((label == k).mean()) for k in range(classes))
