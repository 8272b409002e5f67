"""Limits are exact: what is let through is what a bucket of tokens, counted in fractions, lets through."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.host.gateway.rates import Bucket, Limiter, Rate

RATES = st.builds(Rate, st.integers(1, 12), st.sampled_from([1, 7, 60, 86400]))
#: Between two requests, in ns: none, very little, and about as much as it takes until one is back.
PAUSES = st.lists(
    st.one_of(st.just(0), st.integers(1, 3), st.integers(0, 10**9), st.integers(0, 10**12)), max_size=60
)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 5 * 10**9

    def __call__(self) -> int:
        return self.now


def bucket(rate: Rate, policy: str = "caller", owner: str = "key:mobile") -> Bucket:
    return Bucket(policy, owner, rate)


@given(RATES, PAUSES)
def test_as_a_bucket_of_tokens(rate: Rate, pauses: list[int]) -> None:
    """At any times: `count` tokens, `count` more in each period, one a request, none where there is less than one."""
    clock = Clock()
    limiter = Limiter(clock)
    tokens = Fraction(rate.count)
    for pause in pauses:
        clock.now += pause
        tokens = min(Fraction(rate.count), tokens + Fraction(pause * rate.count, rate.seconds * 10**9))
        admitted = tokens >= 1
        tokens -= admitted
        verdict = limiter.admit([bucket(rate)])
        assert verdict.admitted == admitted
        assert f"r={int(tokens)};" in dict(verdict.headers)["RateLimit"]


@given(RATES, PAUSES)
def test_never_more_than_it_says(rate: Rate, pauses: list[int]) -> None:
    """Between any two moments no more come through than were there at once, and came back meanwhile."""
    clock = Clock()
    limiter = Limiter(clock)
    times = []
    for pause in pauses:
        clock.now += pause
        if limiter.admit([bucket(rate)]).admitted:
            times.append(clock.now)
    for first, last in itertools.combinations(range(len(times)), 2):
        back = Fraction((times[last] - times[first]) * rate.count, rate.seconds * 10**9)
        assert last - first + 1 <= rate.count + back


@given(RATES, st.integers(0, 10**10))
def test_when_to_come_back(rate: Rate, pause: int) -> None:
    """Whoever waits as long as a refusal says is let in, and whoever waits a second less is not."""
    clock = Clock()
    limiter = Limiter(clock)
    for _ in range(rate.count):
        assert limiter.admit([bucket(rate)]).admitted
    clock.now += pause
    if wait := limiter.admit([bucket(rate)]).retry_after:
        clock.now += (wait - 1) * 10**9
        if wait > 1:
            assert not limiter.admit([bucket(rate)]).admitted
        clock.now += 10**9
        assert limiter.admit([bucket(rate)]).admitted


def test_a_refusal_takes_from_no_bucket() -> None:
    """A request that a route's limit keeps out does not use up the caller's, and says what is left of both."""
    limiter = Limiter(Clock())
    wide, narrow = bucket(Rate(10, 60)), bucket(Rate(1, 60), "route")
    assert limiter.admit([wide, narrow]).admitted
    refused = limiter.admit([wide, narrow])
    assert refused.retry_after == 60
    assert dict(refused.headers) == {
        "RateLimit-Policy": '"caller";q=10;w=60, "route";q=1;w=60',
        "RateLimit": '"caller";r=9;t=6, "route";r=0;t=60',
    }
    assert [limiter.admit([wide]).admitted for _ in range(10)] == [True] * 9 + [False]


def test_callers_do_not_share() -> None:
    """What one has used up another still has, and a new rate begins anew."""
    limiter = Limiter(Clock())
    assert limiter.admit([bucket(Rate(1, 60))]).admitted
    assert not limiter.admit([bucket(Rate(1, 60))]).admitted
    assert limiter.admit([bucket(Rate(1, 60), owner="key:web")]).admitted
    assert limiter.admit([bucket(Rate(2, 60))]).admitted


def test_without_limits() -> None:
    """Nothing is counted, and nothing is told."""
    limiter = Limiter(Clock())
    verdict = limiter.admit([])
    assert (verdict.admitted, verdict.headers, len(limiter)) == (True, (), 0)


def test_what_is_full_again_is_forgotten() -> None:
    """However many addresses there were, those are kept that are still counted."""
    clock = Clock()
    limiter = Limiter(clock)
    for number in range(20_000):
        clock.now += 10**6
        limiter.admit([bucket(Rate(1, 1), owner=str(number))])
    assert len(limiter) < 4_000


@pytest.mark.parametrize("written", ["600/minute", "1/second", "999999999/day", "5/hour"])
def test_a_rate_is_read_as_it_is_written(written: str) -> None:
    """And shown so."""
    assert str(Rate.read(written)) == written


@pytest.mark.parametrize(
    "written",
    ["", "600", "0/minute", "-1/minute", "1.5/minute", "1/week", "1/minute\n", "٣/minute", "9999999999/day"],
)
def test_what_is_no_rate(written: str) -> None:
    """It is refused, with an example of one."""
    with pytest.raises(ValueError, match="such as 600/minute"):
        Rate.read(written)
