"""Gate 3: non-inferiority on the same rows, and the window that must not be older."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.validate_model.bootstrap import Interval
from jobs.validate_model.comparison import Plan, compare
from jobs.validate_model.gates.champion import Duel, Unscorable, gate
from jobs.validate_model.scored import Scored
from penstock.results import GateResult
from penstock.spec.gates import ChampionGate

MAY, JUNE = datetime(2013, 5, 1, tzinfo=UTC), datetime(2013, 6, 1, tzinfo=UTC)


def duel(low: float, high: float = 0.05, *, metric: str = "roc_auc", champion: float = 0.7) -> Duel:
    point = (low + high) / 2
    gain = Interval(point, low, high)
    return Duel(
        "3", metric, champion, champion + point, gain, rows=990, holdout=1000, how="scored by its package"
    )


def judged(found: Duel | Unscorable | None, settings: ChampionGate | None = ChampionGate()) -> GateResult:  # noqa: B008
    return gate(settings, found, window_end=JUNE, champion_window_end=MAY if found else None)


@pytest.mark.parametrize(("low", "passed"), [(0.001, True), (-0.01, True), (-0.0101, False)])
def test_it_passes_where_the_interval_excludes_the_loss(low: float, passed: bool) -> None:
    """By default an ROC AUC may lose one hundredth, the lower end of the interval deciding."""
    assert judged(duel(low)).passed is passed


@given(
    point=st.floats(-10, 10),
    below=st.floats(0, 10),
    above=st.floats(0, 10),
    loss=st.floats(0, 10),
    metric=st.sampled_from(["roc_auc", "log_loss", "rmse", "r2"]),
)
def test_it_passes_if_and_only_if_the_interval_excludes_the_loss(
    point: float, below: float, above: float, loss: float, metric: str
) -> None:
    """For every interval and allowed loss the lower end decides alone: no gain, however large, makes up for doubt."""
    gain = Interval(point, point - below, point + above)
    found = Duel("3", metric, 0.7, 0.7 + point, gain, rows=990, holdout=1000, how="scored by its package")
    assert judged(found, ChampionGate(max_loss=loss)).passed is (gain.low >= -loss)


@given(
    rows=st.integers(20, 100),
    seed=st.integers(0, 2**16),
    metric=st.sampled_from(["roc_auc", "pr_auc", "log_loss", "brier", "accuracy"]),
    loss=st.floats(0, 1) | st.none(),
)
@settings(max_examples=25, deadline=None)
def test_a_candidate_equal_to_the_champion_passes(
    rows: int, seed: int, metric: str, loss: float | None
) -> None:
    """The same answers on the same rows are no loss, even where none is allowed: retraining on nothing new is harmless."""
    draw = np.random.default_rng(seed)
    y = np.concatenate([[0.0, 1.0], (draw.random(rows) < 0.4).astype(float)])
    share = draw.random(len(y))
    answers = Scored("binary", y, (share > 0.5).astype(float), np.column_stack([1 - share, share]))
    line = compare(answers, answers, Plan(metric, {}, min_rows=20, confidence=0.95, resamples=200)).lines[
        metric
    ]
    assert line.gain is not None
    found = Duel("3", metric, line.challenger.point, line.challenger.point, line.gain, rows, rows, "itself")
    assert judged(found, ChampionGate(max_loss=loss)).passed


def test_it_says_what_it_saw() -> None:
    """Both values, the version, the gain with its interval, how many rows and how they were scored."""
    result = judged(duel(-0.03))
    assert result.observed == (
        "roc_auc 0.71 against 0.7 of version 3: gain +0.01 [-0.03, +0.05] on 990 of 1,000 rows (scored by its package)"
    )
    assert result.required == "paired 0.95 interval of the gain above -0.01"
    assert "does not exclude a loss over 0.01: it reaches 0.03" in result.why
    assert result.next_step


def test_the_loss_of_an_unbounded_metric_is_a_share_of_the_champion_s() -> None:
    """By default an RMSE of 20 may grow by 2 %, that is by 0.4."""
    assert judged(duel(-0.4, metric="rmse", champion=20)).passed
    assert not judged(duel(-0.41, metric="rmse", champion=20)).passed


def test_the_spec_s_loss_goes_before_the_default() -> None:
    """`max_loss` is in units of the metric, whichever it is."""
    assert judged(duel(-0.03), ChampionGate(max_loss=0.03)).passed
    assert not judged(duel(-0.001), ChampionGate(max_loss=0)).passed


def test_the_first_model_has_nothing_to_beat() -> None:
    """Without a champion it passes and says why."""
    result = judged(None)
    assert result.passed
    assert result.observed == "no champion"


def test_a_metric_that_cannot_be_told_refuses() -> None:
    """Rows that tell nothing exclude no loss."""
    unknown = Interval(float("nan"), float("nan"), float("nan"))
    found = Duel("3", "roc_auc", float("nan"), float("nan"), unknown, 10, 10, "scored by its package")
    result = judged(found)
    assert not result.passed
    assert "cannot be told" in result.why


def test_a_champion_that_cannot_be_scored_refuses_with_what_to_do() -> None:
    """The reason and the command come from who tried."""
    result = judged(Unscorable("3", "it needs columns ...", "`penstock run flights --date 2013-05-31`"))
    assert not result.passed
    assert (result.why, result.next_step) == (
        "it needs columns ...",
        "`penstock run flights --date 2013-05-31`",
    )


@pytest.mark.parametrize("settings", [ChampionGate(), None], ids=["on", "off"])
def test_an_older_window_never_promotes(settings: ChampionGate | None) -> None:
    """However much better it is, and with the gate off too."""
    result = gate(settings, duel(0.2, 0.3), window_end=MAY, champion_window_end=JUNE)
    assert not result.passed
    assert not result.off
    assert "older window" in result.why


def test_the_same_window_is_compared() -> None:
    """A model of the champion's own window (new code, say) is judged by what it can."""
    assert gate(ChampionGate(), duel(0.001), window_end=JUNE, champion_window_end=JUNE).passed


def test_off_it_passes_and_says_so() -> None:
    """A gate that the spec switched off is there, passed, and marked."""
    result = judged(duel(-0.9, -0.8), None)
    assert (result.passed, result.off) == (True, True)
