"""The metrics of scored rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from jobs.common import metrics
from penstock.spec.metrics import METRICS


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_metric_of_a_spec_is_computed(task: str) -> None:
    """What a spec may name as its metric is what `compute` gives, in every task."""
    y = np.array([0.0, 1.0, 1.0, 0.0])
    p = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [0.9, 0.1]])
    found = metrics.compute(task, y, p.argmax(1).astype(float), p)
    assert set(found) == set(METRICS[task])
    assert all(math.isfinite(value) for value in found.values())


def test_binary_metrics_are_those_of_scikit_learn() -> None:
    """On random scores every binary metric equals scikit-learn's."""
    draw = np.random.default_rng(1)
    y = draw.integers(0, 2, 500).astype(float)
    p1 = draw.uniform(size=500)
    p = np.column_stack([1 - p1, p1])
    prediction = (p1 > 0.5).astype(float)
    assert metrics.compute("binary", y, prediction, p) == pytest.approx(
        {
            "roc_auc": sk.roc_auc_score(y, p1),
            "pr_auc": sk.average_precision_score(y, p1),
            "log_loss": sk.log_loss(y, p),
            "brier": sk.brier_score_loss(y, p1),
            "accuracy": sk.accuracy_score(y, prediction),
            "f1": sk.f1_score(y, prediction),
        }
    )


def test_multiclass_log_loss_is_that_of_scikit_learn() -> None:
    """Three classes, one of them absent from the rows: the log loss still is scikit-learn's with all labels given."""
    draw = np.random.default_rng(2)
    y = draw.integers(0, 2, 200).astype(float)
    p = draw.dirichlet([1, 1, 1], 200)
    found = metrics.value("multiclass", "log_loss", y, p.argmax(1).astype(float), p)
    assert found == pytest.approx(sk.log_loss(y, p, labels=[0, 1, 2]))


def test_regression_metrics_by_hand() -> None:
    """rmse, mae and r2 of three rows, counted by hand."""
    found = metrics.compute("regression", np.array([0.0, 2.0, 4.0]), np.array([1.0, 2.0, 2.0]))
    assert found == pytest.approx({"rmse": math.sqrt(5 / 3), "mae": 1.0, "r2": 1 - 5 / 8})


def test_refused_rows_are_left_out() -> None:
    """A row with NaN for its prediction changes no metric."""
    y, p = np.array([0.0, 1.0, 1.0]), np.array([[0.8, 0.2], [0.4, 0.6], [np.nan, np.nan]])
    found = metrics.compute("binary", y, np.array([0.0, 1.0, np.nan]), p)
    assert found == metrics.compute("binary", y[:2], np.array([0.0, 1.0]), p[:2])


def test_what_cannot_be_told_is_nan() -> None:
    """No rows, one class only, or no probabilities give NaN and never an exception."""
    one_class = metrics.compute("binary", np.zeros(3), np.zeros(3), np.tile([0.9, 0.1], (3, 1)))
    assert math.isnan(one_class["roc_auc"])
    assert math.isnan(one_class["pr_auc"])
    assert one_class["log_loss"] == pytest.approx(-math.log(0.9))
    assert all(math.isnan(v) for v in metrics.compute("regression", np.empty(0), np.empty(0)).values())
    hard = metrics.compute("binary", np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert math.isnan(hard["roc_auc"])
    assert hard["accuracy"] == 1.0


def test_a_probability_of_zero_costs_a_finite_loss() -> None:
    """A sure and wrong answer gives a large log loss, not infinity."""
    found = metrics.value("binary", "log_loss", np.array([1.0]), np.array([0.0]), np.array([[1.0, 0.0]]))
    assert math.isfinite(found)
    assert found > 30
