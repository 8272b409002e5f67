"""The search over parameters: trials side by side in one session, judged on validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobs.common import metrics
from jobs.common.progress import Progress
from jobs.train import scoring
from jobs.train.estimator import build
from penstock.errors import StoreError, UserCodeError

if TYPE_CHECKING:
    from pyspark.ml import Pipeline
    from pyspark.sql import DataFrame

    from jobs.common.usercode import UserCode
    from jobs.train.problem import Problem
    from jobs.train.runs import Runs

#: Digits to which two trials' metrics are compared: the last ones hang on the order of a sum.
_DIGITS = 9


@dataclass(frozen=True)
class Trial:
    """One parameter set and what it got: the primary metric on validation, or why it failed."""

    number: int
    params: Mapping[str, Any]
    metric: float | None
    seconds: float
    error: str | None
    mlflow_run_id: str

    def to_json(self) -> dict[str, Any]:
        """As it is written to trials.json."""
        return asdict(self)


def search(
    code: UserCode, problem: Problem, train: DataFrame, validation: DataFrame, runs: Runs
) -> list[Trial]:
    """Every trial in the order of its number, failed ones among them.

    Raises UserCodeError where all fail, saying the first one's reason.
    """
    from pyspark import inheritable_thread_target

    points = problem.search.points()
    progress = Progress("trials", len(points))
    built = _build_all(code, problem, points)
    trials: list[Trial] = []

    def attempt(number: int) -> Trial:
        return _attempt(number, points[number - 1], built[number - 1], problem, train, validation, runs, code)

    with ThreadPoolExecutor(problem.search.parallel) as pool:
        target: Callable[[int], Trial] = inheritable_thread_target(train.sparkSession)(attempt)
        for future in as_completed([pool.submit(target, number) for number in range(1, len(points) + 1)]):
            trials.append(future.result())
            progress.advance(note=_note(trials[-1], trials, problem))
    trials.sort(key=lambda trial: trial.number)
    if best(trials, problem) is None:
        raise UserCodeError(
            f"every one of the {len(trials)} trials failed; trial 1 ({_said(trials[0].params)}): {trials[0].error}",
            next_step="mend estimator() in model.py, or the search space of the spec",
        )
    return trials


def best(trials: list[Trial], problem: Problem) -> Trial | None:
    """The trial with the best metric, the first of equal ones; None where all failed."""
    done = [trial for trial in trials if trial.metric is not None]
    sign = -1 if problem.better == "maximize" else 1
    return min(done, key=lambda t: (sign * round(t.metric or 0.0, _DIGITS), t.number), default=None)


def _build_all(
    code: UserCode, problem: Problem, points: list[dict[str, Any]]
) -> list[Pipeline | UserCodeError]:
    """The estimators of all points before any is fitted; a fault that they all have ends the search at once."""
    built: list[Pipeline | UserCodeError] = []
    for point in points:
        try:
            built.append(build(code, point, problem))
        except UserCodeError as error:
            built.append(error)
    faults = [made for made in built if isinstance(made, UserCodeError)]
    if len(faults) == len(built):
        raise faults[0]
    return built


def _attempt(
    number: int,
    params: Mapping[str, Any],
    estimator: Pipeline | UserCodeError,
    problem: Problem,
    train: DataFrame,
    validation: DataFrame,
    runs: Runs,
    code: UserCode,
) -> Trial:
    started = time.monotonic()
    run = runs.start_trial(number, params)
    value, error = None, None
    try:
        if isinstance(estimator, UserCodeError):
            raise estimator
        with code.blamed(f"estimator({_said(params)})"):
            value = _judge(estimator, problem, train, validation)
    except StoreError:
        raise
    except UserCodeError as failure:
        error = str(failure)
        print(f"trial {number} ({_said(params)}) failed: {failure.message}", flush=True)
    seconds = round(time.monotonic() - started, 3)
    found = (
        {"seconds": seconds} if value is None else {f"validation_{problem.metric}": value, "seconds": seconds}
    )
    runs.end_trial(run, found, error)
    return Trial(number, dict(params), value, seconds, error, run)


def _judge(estimator: Pipeline, problem: Problem, train: DataFrame, validation: DataFrame) -> float:
    classes = None if problem.classes is None else len(problem.classes)
    model = estimator.fit(train)
    scored = scoring.score_accepted(model, validation, [problem.label], classes)
    value = metrics.value(problem.task, problem.metric, *scoring.arrays(scored, problem.label, classes))
    if not math.isfinite(value):
        raise UserCodeError(f"{problem.metric} on validation is {value}: the model gave no usable answers")
    return value


def _note(trial: Trial, trials: list[Trial], problem: Problem) -> str:
    leader = best(trials, problem)
    found = "failed" if trial.metric is None else f"{problem.metric} {trial.metric:.4f}"
    so_far = "none yet" if leader is None else f"{leader.metric:.4f} ({_said(leader.params)})"
    return f"trial {trial.number}: {found}; best so far {so_far}"


def _said(params: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )
