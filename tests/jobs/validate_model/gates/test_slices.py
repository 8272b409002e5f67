"""Gate 4: a group refuses where its interval shows a loss, all groups taken together."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.validate_model.bootstrap import Interval
from jobs.validate_model.comparison import Plan, compare
from jobs.validate_model.gates.slices import Group, gate
from jobs.validate_model.scored import Scored
from penstock.spec.gates import SliceGate

OWN = Interval(0.7, 0.65, 0.75)


def group(low: float, high: float, value: str = "EWR") -> Group:
    return Group("origin", value, 400, OWN, 0.7, Interval((low + high) / 2, low, high))


intervals = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted)


@given(ends=st.lists(intervals, min_size=1, max_size=30), loss=st.floats(0, 1), random=st.randoms())
def test_it_refuses_if_and_only_if_a_group_shows_a_loss(
    ends: list[list[float]], loss: float, random: Random
) -> None:
    """One such group is enough, however well the others do; in which order they come does not matter."""
    groups = [group(low, high, f"g{number}") for number, (low, high) in enumerate(ends)]
    result = gate(SliceGate(max_loss=loss), "roc_auc", groups, small=0, missing=[])
    lost = sum(high < -loss for _, high in ends)
    assert result.passed is (lost == 0)
    assert result.passed or result.why.startswith(f"{lost} group")
    random.shuffle(groups)
    again = gate(SliceGate(max_loss=loss), "roc_auc", groups, small=0, missing=[])
    assert again.passed is result.passed


def test_only_a_shown_loss_refuses() -> None:
    """An interval that reaches from a loss to a gain shows nothing; one that lies below the allowed loss does."""
    assert gate(SliceGate(), "roc_auc", [group(-0.2, 0.1)], small=0, missing=[]).passed
    assert gate(SliceGate(), "roc_auc", [group(-0.2, -0.01)], small=0, missing=[]).passed
    refused = gate(SliceGate(), "roc_auc", [group(-0.2, -0.011, "JFK"), group(0, 0.1)], small=2, missing=[])
    assert not refused.passed
    assert "1 group lost too much roc_auc: origin=JFK (400 rows) -0.1055 [-0.2, -0.011]" in refused.why
    assert "2 smaller ones not judged" in refused.observed
    assert refused.next_step


def test_the_spec_s_loss_goes_before_the_default() -> None:
    """More can be allowed."""
    assert gate(SliceGate(max_loss=0.05), "roc_auc", [group(-0.2, -0.02)], small=0, missing=[]).passed


def test_the_first_model_is_shown_not_judged() -> None:
    """Without a champion there is nothing to lose."""
    alone = Group("origin", "EWR", 400, OWN, None, None)
    result = gate(SliceGate(), "roc_auc", [alone], small=0, missing=[])
    assert result.passed
    assert result.why == "nothing to compare with"


def test_a_group_that_cannot_be_told_is_not_counted() -> None:
    """A group of one class has no AUC: it neither refuses nor counts as judged."""
    unknown = Group("origin", "LGA", 400, OWN, 0.7, Interval(float("nan"), float("nan"), float("nan")))
    result = gate(SliceGate(), "roc_auc", [unknown, group(-0.1, 0.1)], small=0, missing=[])
    assert result.passed
    assert result.observed.startswith("1 groups;")


def test_a_slice_column_that_is_gone_refuses() -> None:
    """What cannot be looked at cannot pass."""
    result = gate(SliceGate(), "roc_auc", [], small=0, missing=["carrier"])
    assert not result.passed
    assert "carrier" in result.observed


def test_off_it_passes_and_says_so() -> None:
    """A gate that the spec switched off is there, passed, and marked."""
    result = gate(None, "roc_auc", [group(-0.9, -0.8)], small=0, missing=[])
    assert (result.passed, result.off) == (True, True)


def _pair(seed: int, rows: int, hurt: np.ndarray | None = None) -> tuple[Scored, Scored]:
    draw = np.random.default_rng(seed)
    y = draw.normal(0, 1, rows)
    champion = Scored("regression", y, y + draw.normal(0, 1, rows), None)
    error = draw.normal(0, 1, rows)
    if hurt is not None:
        error[hurt] *= 1.5
    return Scored("regression", y, y + error, None), champion


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_small_groups_are_not_judged(sizes: list[int]) -> None:
    """Of two models that differ in the small groups alone, and there beyond all bounds, none is refused for it."""
    min_rows = 20
    names = np.repeat([f"g{number}" for number in range(len(sizes))], sizes)
    challenger, champion = _pair(0, len(names))
    large = np.repeat(sizes, sizes) >= min_rows
    answers = np.where(large, champion.prediction, challenger.prediction + 1000)
    plan = Plan("mae", {"group": names}, min_rows=min_rows, confidence=0.95, resamples=200)
    found = compare(Scored("regression", champion.y, answers, None), champion, plan)
    assert {each.value for each in found.groups} == set(names[large])
    assert found.small == sum(size < min_rows for size in sizes)
    strict = SliceGate(min_rows=min_rows, max_loss=0)
    assert gate(strict, "mae", found.groups, small=found.small, missing=[]).passed


def test_by_chance_few_sound_models_are_refused() -> None:
    """Twenty groups, two models that are equally good: at most about one run in twenty refuses for any of them."""
    refused, rounds = 0, 40
    for seed in range(rounds):
        names = np.repeat([f"g{number}" for number in range(20)], 60)
        plan = Plan("mae", {"group": names}, min_rows=50, confidence=0.95, resamples=200)
        comparison = compare(*_pair(seed, len(names)), plan)
        assert len(comparison.groups) == 20
        settings = SliceGate(min_rows=50, max_loss=0)
        refused += not gate(settings, "mae", comparison.groups, small=0, missing=[]).passed
    assert refused <= 6  # 2 expected; 7 or more has a chance below 1 in 100


def test_a_group_that_really_lost_is_found() -> None:
    """Errors half as large again in one group of forty are seen, and only that group is named."""
    names = np.repeat([f"g{number}" for number in range(40)], 300)
    plan = Plan("mae", {"group": names}, min_rows=50, confidence=0.95, resamples=200)
    comparison = compare(*_pair(0, len(names), hurt=names == "g7"), plan)
    result = gate(SliceGate(min_rows=50), "mae", comparison.groups, small=0, missing=[])
    assert not result.passed
    assert [name for name in (f"group=g{number} " for number in range(40)) if name in result.why] == [
        "group=g7 "
    ]
