"""The metrics on weighted rows: equal to the plain ones, and weights mean repetition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.common.metrics import value
from jobs.validate_model.scored import Scored
from jobs.validate_model.weighted import kernel
from penstock.spec.metrics import METRICS, RANKED, Task

EVERY = [(task, metric) for task, metrics in METRICS.items() for metric in metrics]


def scored(task: Task, rows: int, seed: int, *, steps: int | None = None) -> Scored:
    """Answers that know something; with `steps` the scores fall on few values, so that many are tied."""
    draw = np.random.default_rng(seed)
    if task == "regression":
        y = draw.normal(50, 10, rows)
        prediction = y + draw.normal(0, 5, rows)
        return Scored(task, y, np.round(prediction) if steps else prediction, None)
    classes = 2 if task == "binary" else 3
    y = draw.integers(0, classes, rows).astype(float)
    raw = draw.random((rows, classes)) + np.eye(classes)[y.astype(int)] * 0.4
    if steps:
        raw = np.round(raw * steps) / steps + 0.01
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    return Scored(task, y, probabilities.argmax(axis=1).astype(float), probabilities)


@pytest.mark.parametrize(("task", "metric"), EVERY)
@pytest.mark.parametrize("steps", [None, 4], ids=["untied", "tied"])
@given(rows=st.integers(2, 60), seed=st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_with_weights_of_one_it_is_the_plain_metric(
    task: Task, metric: str, steps: int | None, rows: int, seed: int
) -> None:
    """On whole samples the bootstrap's kernels and jobs.common.metrics say the same, ties and lone classes included."""
    answers = scored(task, rows, seed, steps=steps)
    found = kernel(metric, answers)(np.ones((1, rows)))[0]
    expected = value(task, metric, answers.y, answers.prediction, answers.probabilities)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(("task", "metric"), EVERY)
@given(rows=st.integers(2, 40), seed=st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_a_weight_is_how_often_a_row_is_there(task: Task, metric: str, rows: int, seed: int) -> None:
    """A resample by weights is the metric of the table with each row repeated so often, and 0 leaves it out."""
    answers = scored(task, rows, seed, steps=3)
    counts = np.random.default_rng(seed + 1).integers(0, 4, rows)
    counts[0] = max(counts[0], 1)
    repeated = answers.take(np.repeat(np.arange(rows), counts))
    found = kernel(metric, answers)(counts[None, :].astype(float))[0]
    expected = value(task, metric, repeated.y, repeated.prediction, repeated.probabilities)
    if metric == "r2" and (counts.sum() < 2 or np.ptp(repeated.y) == 0):
        return  # nothing to explain: not told by one, defined as 0 or 1 by the other
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("metric", sorted(RANKED))
def test_a_raw_score_ranks_as_a_probability_does(metric: str) -> None:
    """What only orders the rows gives the same area, by the kernel and by the plain metric."""
    answers = scored("binary", 50, 3)
    assert answers.probabilities is not None
    raw = Scored("binary", answers.y, answers.prediction, None, np.log(answers.probabilities[:, 1]))
    expected = value("binary", metric, answers.y, answers.prediction, answers.probabilities)
    assert kernel(metric, raw)(np.ones((1, 50)))[0] == pytest.approx(expected)
    assert value("binary", metric, raw.y, raw.prediction, None, raw.raw) == pytest.approx(expected)


def test_many_resamples_are_each_their_own() -> None:
    """A block of weights gives for each row what that row gives alone."""
    answers = scored("binary", 50, 3)
    weights = np.random.default_rng(0).integers(0, 3, (7, 50)).astype(float)
    of = kernel("roc_auc", answers)
    assert of(weights) == pytest.approx([of(row[None, :])[0] for row in weights])
