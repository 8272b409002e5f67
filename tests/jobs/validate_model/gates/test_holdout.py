"""Gate 2: thresholds, and the defaults where the spec sets none."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.validate_model.gates.holdout import gate
from penstock.spec.gates import Threshold

numbers = st.floats(allow_nan=False, allow_infinity=False)
#: A bound, and a value that is often the bound itself or right beside it.
bounds_and_values = numbers.flatmap(
    lambda bound: st.tuples(
        st.just(bound),
        st.sampled_from([bound, math.nextafter(bound, math.inf), math.nextafter(bound, -math.inf)]) | numbers,
    )
)
signs = st.sampled_from([">=", "<=", ">", "<"])


def test_every_threshold_must_hold() -> None:
    """One bound that does not hold refuses, and the reason names it with what was seen and required."""
    bounds = {"roc_auc": Threshold(">= 0.65"), "log_loss": Threshold("<= 0.5")}
    assert gate(bounds, "binary", {"roc_auc": 0.65, "log_loss": 0.5}).passed
    refused = gate(bounds, "binary", {"roc_auc": 0.6, "log_loss": 0.4})
    assert not refused.passed
    assert refused.why == "roc_auc is 0.6, required >= 0.65, by the spec's thresholds"
    assert refused.observed == "roc_auc 0.6, log_loss 0.4"
    assert refused.next_step


@given(pair=bounds_and_values, sign=signs)
def test_the_verdict_is_the_sign_of_the_difference(pair: tuple[float, float], sign: str) -> None:
    """For every bound, in whichever notation it is written, each way to compare, and values one ulp beside it."""
    bound, value = pair
    order = (value > bound) - (value < bound)
    passes = {">=": order >= 0, "<=": order <= 0, ">": order > 0, "<": order < 0}[sign]
    assert gate({"r2": Threshold(f"{sign} {bound!r}")}, "regression", {"r2": value}).passed is passes


@given(seen=st.lists(st.tuples(signs, bounds_and_values), min_size=1, max_size=4), random=st.randoms())
def test_many_thresholds_pass_where_each_passes_alone(
    seen: list[tuple[str, tuple[float, float]]], random: Random
) -> None:
    """None makes up for another, and their order does not matter."""
    bounds = {f"metric {n}": Threshold(f"{sign} {pair[0]!r}") for n, (sign, pair) in enumerate(seen)}
    values = {f"metric {n}": pair[1] for n, (_, pair) in enumerate(seen)}
    alone = [gate({name: bound}, "binary", values).passed for name, bound in bounds.items()]
    shuffled = list(bounds.items())
    random.shuffle(shuffled)
    assert gate(dict(shuffled), "binary", values).passed is all(alone)


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
