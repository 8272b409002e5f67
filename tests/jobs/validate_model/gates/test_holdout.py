"""Gate 2: thresholds, and the defaults where the spec sets none."""

from __future__ import annotations

import math

import pytest

from jobs.validate_model.gates.holdout import gate
from penstock.spec.gates import Threshold


def test_every_threshold_must_hold() -> None:
    """One bound that does not hold refuses, and the reason names it with what was seen and required."""
    bounds = {"roc_auc": Threshold(">= 0.65"), "log_loss": Threshold("<= 0.5")}
    assert gate(bounds, "binary", {"roc_auc": 0.65, "log_loss": 0.5}).passed
    refused = gate(bounds, "binary", {"roc_auc": 0.6, "log_loss": 0.4})
    assert not refused.passed
    assert refused.why == "roc_auc is 0.6, required >= 0.65, by the spec's thresholds"
    assert refused.observed == "roc_auc 0.6, log_loss 0.4"
    assert refused.next_step


def test_a_metric_that_cannot_be_told_keeps_no_threshold() -> None:
    """NaN (one class only in the holdout) refuses."""
    assert not gate({"roc_auc": Threshold(">= 0")}, "binary", {"roc_auc": math.nan}).passed


@pytest.mark.parametrize(("auc", "passed"), [(0.51, True), (0.5, False), (0.4, False), (math.nan, False)])
def test_without_thresholds_a_binary_model_must_beat_chance(auc: float, passed: bool) -> None:
    """The default: order positives before negatives more often than not."""
    assert gate({}, "binary", {"roc_auc": auc}).passed is passed


@pytest.mark.parametrize(("r2", "passed"), [(0.01, True), (0.0, False), (-0.2, False)])
def test_without_thresholds_a_regression_must_beat_the_mean(r2: float, passed: bool) -> None:
    """The default: explain more than the holdout's mean does."""
    assert gate({}, "regression", {"r2": r2}).passed is passed


def test_without_thresholds_a_multiclass_model_must_beat_the_largest_class() -> None:
    """The default: the macro F1 of always answering the largest class, (2 * 0.5 / 1.5) / 3 for these shares."""
    shares = (0.5, 0.3, 0.2)
    assert gate({}, "multiclass", {"macro_f1": 0.2223}, shares=shares).passed
    assert not gate({}, "multiclass", {"macro_f1": 0.2222}, shares=shares).passed


def test_the_spec_s_thresholds_alone_judge() -> None:
    """Where the spec sets one, the defaults do not judge beside it."""
    assert gate({"r2": Threshold(">= -1")}, "regression", {"r2": -0.5}).passed


def test_off_it_passes_and_says_so() -> None:
    """A gate that the spec switched off is there, passed, and marked."""
    result = gate(None, "binary", {"roc_auc": 0.1})
    assert (result.passed, result.off, result.name) == (True, True, "holdout")
