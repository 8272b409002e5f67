"""The judge: false alarms are as rare as promised under continuous looking, and what is worse is seen soon."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rollout.judge import (
    ENOUGH,
    NO_BETS,
    NOTHING_SEEN,
    Bins,
    bet,
    distance_of_scores,
    mean_of_logs,
    weigh,
)

SHARES = st.floats(0.01, 0.99)
RATIOS = st.floats(1, 20)


def evidence_of_errors(steps: list[tuple[float, int, int]], tolerated: float) -> float:
    """After all of these: a share, errors of the candidate, errors of the champion."""
    logs: tuple[float, ...] = NOTHING_SEEN
    for step in steps:
        logs = weigh(logs, *step, tolerated)
    return mean_of_logs(logs)


@given(share=SHARES, tolerated=RATIOS, better=st.floats(0, 1))
def test_one_more_error_raises_no_hopes_under_the_null(share: float, tolerated: float, better: float) -> None:
    """The evidence after one error is in the mean at most that before, for every ratio that is tolerated: a supermartingale."""
    ratio = tolerated * better
    chance = ratio * share / (ratio * share + 1 - share)
    mean = chance * evidence_of_errors([(share, 1, 0)], tolerated) + (1 - chance) * evidence_of_errors(
        [(share, 0, 1)], tolerated
    )
    assert mean <= 1 + 1e-9


@given(
    own=st.integers(1, 6),
    other=st.integers(1, 6),
    rate=st.floats(0, 1),
    tolerated=st.floats(1, 5),
    better=st.floats(0, 1),
)
def test_a_block_raises_no_hopes_under_the_null(
    own: int, other: int, rate: float, tolerated: float, better: float
) -> None:
    """Nor in the mean over all that may fail of a block's requests, by the share that they were seen to have."""
    worse = min(tolerated * better * rate, 1.0)
    mean = math.fsum(
        chance(failed, own, worse)
        * chance(champion, other, rate)
        * evidence_of_errors([(own / (own + other), failed, champion)], tolerated)
        for failed in range(own + 1)
        for champion in range(other + 1)
    )
    assert mean <= 1 + 1e-9


def chance(failed: int, requests: int, rate: float) -> float:
    """That so many of so many fail."""
    return math.comb(requests, failed) * rate**failed * (1 - rate) ** (requests - failed)


@given(
    st.lists(st.tuples(SHARES, st.integers(0, 10**9), st.integers(0, 10**9)), max_size=6), st.floats(1, 20)
)
def test_evidence_is_a_number_at_any_counts(steps: list[tuple[float, int, int]], tolerated: float) -> None:
    """Not negative, never NaN, and no overflow; 1 where nothing failed."""
    found = evidence_of_errors(steps, tolerated)
    assert found >= 0
    assert evidence_of_errors([(share, 0, 0) for share, _, _ in steps], tolerated) == pytest.approx(1)


@given(SHARES, st.integers(0, 50), st.integers(0, 50), RATIOS)
def test_evidence_grows_with_the_candidates_errors_alone(
    share: float, candidate: int, champion: int, tolerated: float
) -> None:
    """One more of the candidate's raises it, one more of the champion's lowers it, and so does tolerating more."""
    now = evidence_of_errors([(share, candidate, champion)], tolerated)
    assert evidence_of_errors([(share, candidate + 1, champion)], tolerated) > now
    assert evidence_of_errors([(share, candidate, champion + 1)], tolerated) < now


def first_alarm(
    chance: random.Random, share: float, ratio: float, tolerated: float, errors: int
) -> int | None:
    """After which error, looked at after each of so many, the candidate is called worse."""
    own = ratio * share / (ratio * share + 1 - share)
    candidate = 0
    for seen in range(1, errors + 1):
        candidate += chance.random() < own
        if evidence_of_errors([(share, candidate, seen - candidate)], tolerated) >= ENOUGH:
            return seen
    return None


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_false_alarms_stay_rare_under_continuous_looking(share: float) -> None:
    """At the very edge of what is tolerated, looked at after each of 200 errors, one in 500 rollouts is stopped at most."""
    chance = random.Random(7)
    alarms = sum(first_alarm(chance, share, 1.5, 1.5, 200) is not None for _ in range(600))
    assert alarms <= 6  # 1.2 are allowed in the mean: more than 6 has a chance below 1 in 1000


@pytest.mark.parametrize(("share", "most"), [(0.05, 50), (0.25, 35), (0.5, 55)])
def test_ten_times_the_errors_are_seen_within_few(share: float, most: int) -> None:
    """A version with ten times the errors is called worse after so many errors of both at most, nine times of ten."""
    chance = random.Random(11)
    alarms = [first_alarm(chance, share, 10, 1.5, 100) for _ in range(100)]
    assert sum(alarm is not None and alarm <= most for alarm in alarms) >= 90


def test_a_version_that_alone_fails_is_seen_at_once() -> None:
    """At a share of 5 % four errors, and none of the champion's, are enough; two are not."""
    assert evidence_of_errors([(0.05, 4, 0)], 1.5) >= ENOUGH
    assert evidence_of_errors([(0.05, 2, 0)], 1.5) < ENOUGH


def test_evidence_adds_up_over_steps() -> None:
    """What was not enough at 5 % counts at 25 %."""
    assert evidence_of_errors([(0.05, 2, 0)], 1.5) < ENOUGH
    assert evidence_of_errors([(0.25, 3, 0)], 1.5) < ENOUGH
    assert evidence_of_errors([(0.05, 2, 0), (0.25, 3, 0)], 1.5) >= ENOUGH


@given(st.lists(st.floats(-1, 1), max_size=30))
def test_wealth_is_never_negative(differences: list[float]) -> None:
    """Not after any blocks; one in which the candidate is slower raises it."""
    logs: tuple[float, ...] = NO_BETS
    for difference in differences:
        logs = bet(logs, difference)
    assert mean_of_logs(logs) >= 0
    assert mean_of_logs(bet(logs, 0.5)) > mean_of_logs(logs)


def test_pauses_of_a_process_are_no_evidence() -> None:
    """Pauses that slow all requests of a block at once, as likely on either side, are called worse once in 500 at most."""
    chance = random.Random(3)
    alarms = 0
    for _ in range(300):
        logs: tuple[float, ...] = NO_BETS
        for _ in range(300):
            logs = bet(logs, float(chance.random() < 0.05) - float(chance.random() < 0.05))
            if mean_of_logs(logs) >= ENOUGH:
                alarms += 1
                break
    assert alarms <= 5


def test_a_slower_version_is_seen_in_few_blocks() -> None:
    """One that is slow each time, where the champion is in 1 of 100: within 15 blocks."""
    logs: tuple[float, ...] = NO_BETS
    blocks = 0
    while mean_of_logs(logs) < ENOUGH:
        logs, blocks = bet(logs, 0.99), blocks + 1
    assert blocks <= 15


def test_evidence_beyond_any_float_is_infinite() -> None:
    """No overflow."""
    assert mean_of_logs([1e6, 0.0]) == math.inf


EDGES = [i / 20 for i in range(1, 20)]


def counted(draws: list[float], edges: list[float] = EDGES) -> Bins:
    bins = Bins.of(edges)
    for draw in draws:
        bins.add(draw)
    return bins


def test_scores_that_are_alike_are_never_apart() -> None:
    """Of 100 pairs of samples that grow to 2000, looked at ten times each, none is told apart."""
    chance = random.Random(5)
    for _ in range(100):
        one, other = ([chance.random() for _ in range(2000)] for _ in range(2))
        for seen in range(200, 2001, 200):
            assert distance_of_scores(counted(one[:seen]), counted(other[:seen]), 0.01) == 0


def test_scores_that_moved_are_apart() -> None:
    """All scores moved by 0.4 are 0.2 apart at least after 1000 each, and never further than they truly are."""
    chance = random.Random(5)
    one, other = ([chance.random() * 0.6 + moved for _ in range(1000)] for moved in (0.0, 0.4))
    assert 0.2 < distance_of_scores(counted(one), counted(other), 0.01) <= 2 / 3


@given(
    edges=st.lists(st.floats(0, 1), min_size=1, max_size=8, unique=True).map(sorted),
    draws=st.lists(st.floats(0, 1), min_size=400, max_size=400),
    moved=st.sampled_from([0.0, 0.9]),
)
def test_bins_that_differ_are_never_further_apart(
    edges: list[float], draws: list[float], moved: float
) -> None:
    """Than the same draws by bins that are finer than both."""
    other = [draw + moved for draw in draws]
    finest = sorted({*draws, *other, *edges, *EDGES})
    apart = distance_of_scores(counted(draws, finest), counted(other, finest), 0.01)
    assert distance_of_scores(counted(draws, edges), counted(other), 0.01) <= apart + 1e-9


def test_scores_that_moved_are_apart_by_other_bins_too() -> None:
    """As two versions of a regression have them, each by its own samples."""
    chance = random.Random(5)
    one, other = ([chance.random() * 0.6 + moved for _ in range(1000)] for moved in (0.0, 0.4))
    shifted = [edge + 0.013 for edge in EDGES]
    assert distance_of_scores(counted(one), counted(other, shifted), 0.01) > 0.1


def test_no_scores_are_not_apart() -> None:
    """Where one side has none yet nothing is said."""
    assert distance_of_scores(Bins((1.0,), [5, 0]), Bins((1.0,), [0, 0]), 0.01) == 0
