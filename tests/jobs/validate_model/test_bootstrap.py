"""The paired bootstrap: what its interval and its decision must hold for any two models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.validate_model.bootstrap import (
    Interval,
    inferior,
    not_inferior,
    percentile,
    resampled,
    simultaneous,
)
from jobs.validate_model.scored import Scored
from jobs.validate_model.weighted import kernel

LOSSES = st.floats(0, 0.5)
finite = st.floats(-10, 10, allow_nan=False)


def model(y: np.ndarray, noise: float, seed: int) -> Scored:
    """A binary model that knows y, less and less as its noise grows."""
    share = 1 / (1 + np.exp(-(2 * y - 1) - np.random.default_rng(seed).normal(0, noise, len(y))))
    return Scored("binary", y, (share > 0.5).astype(float), np.column_stack([1 - share, share]))


def gain_of(first: Scored, second: Scored, metric: str = "roc_auc", resamples: int = 200) -> Interval:
    points, draws = resampled([kernel(metric, first), kernel(metric, second)], len(first), resamples)
    return percentile(points[0] - points[1], draws[0] - draws[1], 0.95)


labels = st.integers(20, 200).flatmap(
    lambda rows: st.integers(0, 2**16).map(
        lambda seed: (np.random.default_rng(seed).random(rows) < 0.4).astype(float)
    )
)


@given(
    y=labels,
    noise=st.floats(0.1, 5),
    loss=LOSSES,
    metric=st.sampled_from(["roc_auc", "pr_auc", "brier", "f1"]),
)
@settings(max_examples=25, deadline=None)
def test_equal_models_are_never_refused(y: np.ndarray, noise: float, loss: float, metric: str) -> None:
    """A model against itself has a gain of exactly 0 with no doubt, whatever loss is allowed, even none."""
    y[:2] = [0, 1]
    answers = model(y, noise, 1)
    gain = gain_of(answers, answers, metric)
    assert (gain.point, gain.low, gain.high) == (0, 0, 0)
    assert not_inferior(gain, loss)
    assert not inferior(gain, loss)


@given(y=labels, noises=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)), losses=st.tuples(LOSSES, LOSSES))
@settings(max_examples=25, deadline=None)
def test_who_passes_passes_with_more_allowed(
    y: np.ndarray, noises: tuple[float, float], losses: tuple[float, float]
) -> None:
    """The decision is monotone in the loss that is allowed."""
    y[:2] = [0, 1]
    gain = gain_of(model(y, noises[0], 1), model(y, noises[1], 2))
    less, more = sorted(losses)
    assert not_inferior(gain, less) <= not_inferior(gain, more)
    assert inferior(gain, more) <= inferior(gain, less)


@given(point=finite, draws=st.lists(finite, min_size=2, max_size=100), confidence=st.floats(0.5, 0.999))
def test_an_interval_holds_its_point(point: float, draws: list[float], confidence: float) -> None:
    """However skewed the draws are, the interval holds the value that was seen; both kinds."""
    for interval in (
        percentile(point, np.array(draws), confidence),
        simultaneous(point, np.array(draws), confidence, 5),
    ):
        assert interval.low <= interval.point <= interval.high


@given(point=finite, draws=st.lists(finite, min_size=2, max_size=100), loss=LOSSES)
def test_refused_if_and_only_if_the_interval_reaches_below_the_loss(
    point: float, draws: list[float], loss: float
) -> None:
    """Non-inferiority is a statement on the lower end alone; a shown loss one on the upper end."""
    gain = percentile(point, np.array(draws), 0.95)
    assert not_inferior(gain, loss) == (gain.low >= -loss)
    assert inferior(gain, loss) == (gain.high < -loss)
    assert not (not_inferior(gain, loss) and inferior(gain, loss))


@given(draws=st.lists(finite, min_size=30, max_size=60), confidence=st.floats(0.6, 0.99))
def test_more_confidence_and_more_comparisons_widen(draws: list[float], confidence: float) -> None:
    """An interval for many groups at once is at least as wide as one for a single group."""
    values = np.array(draws)
    one, many = simultaneous(0, values, confidence, 1), simultaneous(0, values, confidence, 10)
    assert many.low <= one.low
    assert many.high >= one.high
    wider = percentile(0, values, confidence + 0.009)
    assert wider.low <= percentile(0, values, confidence).low


def test_the_same_rows_give_the_same_interval() -> None:
    """The draws are seeded: a verdict made again is the same."""
    y = (np.random.default_rng(0).random(300) < 0.4).astype(float)
    first, second = model(y, 1, 1), model(y, 2, 2)
    assert gain_of(first, second) == gain_of(first, second)


def test_pairing_tells_apart_what_single_intervals_do_not() -> None:
    """Two models that err on the same rows: their own intervals overlap, that of the difference excludes 0."""
    y = (np.random.default_rng(0).random(2000) < 0.4).astype(float)
    second = model(y, 2.0, 5)
    assert second.probabilities is not None
    blurred = second.probabilities[:, 1] + np.random.default_rng(6).normal(0, 0.12, len(y))
    first = Scored("binary", y, second.prediction, np.column_stack([1 - blurred, blurred]))
    points, draws = resampled([kernel("roc_auc", first), kernel("roc_auc", second)], len(y), 500)
    own = [percentile(point, draw, 0.95) for point, draw in zip(points, draws, strict=True)]
    assert own[0].high > own[1].low
    assert gain_of(first, second, resamples=500).high < 0


def test_the_interval_has_its_confidence() -> None:
    """Over many samples of a known difference the 95 % interval holds the truth about 95 times in 100."""
    held, rounds = 0, 200
    for seed in range(rounds):
        draw = np.random.default_rng(seed)
        y = draw.normal(0, 1, 200)
        first = Scored("regression", y, y + draw.normal(0, 1.0, 200), None)
        second = Scored("regression", y, y + draw.normal(0, 1.2, 200), None)
        points, draws = resampled([kernel("mae", first), kernel("mae", second)], 200, 300)
        interval = percentile(points[0] - points[1], draws[0] - draws[1], 0.95)
        held += interval.low <= (1.0 - 1.2) * np.sqrt(2 / np.pi) <= interval.high
    assert 0.90 <= held / rounds <= 0.985


def test_a_metric_that_cannot_be_told_passes_nothing() -> None:
    """One class only: the interval is unknown, which neither shows a loss nor excludes one."""
    answers = model(np.zeros(50), 1, 1)
    gain = gain_of(answers, model(np.zeros(50), 2, 2))
    assert not gain.known
    assert not not_inferior(gain, 0.5)
    assert not inferior(gain, 0.0)


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many resamples are held at once is for memory only."""
    from jobs.validate_model import bootstrap

    y = (np.random.default_rng(0).random(300) < 0.4).astype(float)
    whole = gain_of(model(y, 1, 1), model(y, 2, 2))
    monkeypatch.setattr(bootstrap, "_BLOCK", 700)
    assert gain_of(model(y, 1, 1), model(y, 2, 2)) == whole
