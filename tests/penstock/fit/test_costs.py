"""What calls cost: replicas, rounded durations, and where one way to pay becomes cheaper than another."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.fit.costs import Line, Steps, Use, costs, crossover, crossovers, curve
from penstock.fit.prices import SHIPPED, AlwaysOn, PerCall, Prices, Share, read

#: 5 ms of which 2 are the core's own, and a quarter GB.
USE = Use(seconds=0.005, core_seconds=0.002, gb=0.25)

amounts = st.floats(1e-6, 1e3)
steps = st.builds(Steps, replica=amounts, least=st.integers(1, 20), capacity=st.floats(1, 1e8))
by_call = st.builds(Line, fixed=st.just(0.0), a_call=st.floats(1e-10, 1e-2))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Line, Steps]:
    """A price of a call, and replicas of which each costs a share of the calls that it can take: at times so much that further ones,
    when they are added, are dearer until there is enough for them to do."""
    other = draw(steps)
    narrow = 1 - 1 / (other.least + draw(st.floats(0.01, 5)))
    share = draw(st.just(narrow) | st.floats(1e-3, 1.5))
    return Line(0.0, other.replica / (other.capacity * share)), other


lines = st.builds(Line, fixed=amounts, a_call=st.floats(0, 1e-2))
shares = st.floats(1e-3, 1 - 1e-6)


def test_a_share_is_its_memory_all_day_and_the_processor_of_its_calls() -> None:
    """24 hours of a quarter GB, and 2 ms of a core a call, of which half is planned for."""
    found = curve(Share(kind="share", vcpu_hour=3.6, gb_hour=0.1), USE, 0.5)
    assert found.a_day(0) == pytest.approx(24 * 0.25 * 0.1)
    assert found.a_day(1000) - found.a_day(0) == pytest.approx(1000 * 0.004 / 3600 * 3.6)


def test_always_on_pays_whole_replicas() -> None:
    """Half a core, busy for half of the time, gives 125 calls of 2 ms a second; one call more is a replica more."""
    price = AlwaysOn(kind="always-on", vcpu_hour=1, gb_hour=2, replicas=2, vcpu=0.5, gb=1)
    found = curve(price, USE, 0.5)
    assert isinstance(found, Steps)
    full = 125 * 86_400
    assert [found.replicas(calls) for calls in (1, 2 * full, 2 * full + 1)] == [2, 2, 3]
    assert found.a_day(1) == pytest.approx(2 * 24 * (0.5 + 2))


@pytest.mark.parametrize(("gb", "paid"), [(1, 1.0), (0.1, 0.25)])
def test_a_replica_and_a_call_have_the_memory_that_the_function_takes(gb: float, paid: float) -> None:
    """A size below what was measured is no size to pay for."""
    always = curve(AlwaysOn(kind="always-on", vcpu_hour=0, gb_hour=1, gb=gb), USE, 1)
    called = curve(PerCall(kind="per-call", gb_second=1, gb=gb, rounding_ms=1000), USE, 1)
    assert always.a_day(1) == pytest.approx(24 * paid)
    assert called.a_day(1) == pytest.approx(paid)


@pytest.mark.parametrize(
    ("seconds", "rounding_ms", "billed"),
    [
        (0.005, 100, 0.1),
        (0.1, 100, 0.1),
        (0.1001, 100, 0.2),
        (0.3, 100, 0.3),
        (1.1, 100, 1.1),
        (0.005, 1, 0.005),
    ],
)
def test_a_duration_is_rounded_up(seconds: float, rounding_ms: float, billed: float) -> None:
    """To whole units, also where a quotient of floats is a little more or less than a whole number."""
    price = PerCall(kind="per-call", gb_second=1, gb=1, rounding_ms=rounding_ms)
    found = curve(price, Use(seconds, 0.001, 0.1), 1)
    assert found.a_day(1) == pytest.approx(billed)


def test_half_a_core_takes_twice_as_long() -> None:
    """What is billed by the second of a smaller core is billed for longer; a larger one makes nothing faster."""
    half, one, two = (
        curve(PerCall(kind="per-call", gb_second=0, vcpu_second=1, gb=1, vcpu=vcpu), USE, 1).a_day(1)
        for vcpu in (0.5, 1, 2)
    )
    assert half == pytest.approx(one)
    assert two == pytest.approx(2 * one)


@given(pair=pairs(), share=shares)
def test_below_the_crossover_the_call_is_cheaper_and_above_the_replicas_are(
    pair: tuple[Line, Steps], share: float
) -> None:
    """Anywhere below the first bound, and anywhere above the second; at any number of calls where there is none."""
    by_call, other = pair
    found = crossover(by_call, other)
    if found is None:
        for calls in (1.0, other.capacity * other.least, other.capacity * (other.least + share) * 1e3):
            assert by_call.a_day(calls) <= other.a_day(calls) * (1 + 1e-9)
        return
    below, above = found
    assert below <= above
    assert by_call.a_day(below * share) < other.a_day(below * share)
    added = [(other.least + k) * other.capacity * (1 + 1e-9) for k in range(8)]
    for calls in (above * (1 + 1e-9), above / share, *(calls for calls in added if calls > above)):
        assert other.a_day(calls) <= by_call.a_day(calls) * (1 + 1e-6)


@given(pair=pairs())
def test_the_bounds_are_no_wider_than_they_must_be(pair: tuple[Line, Steps]) -> None:
    """At each bound both cost the same, and below the second, where the last replica has just been added, the call is cheaper."""
    by_call, other = pair
    found = crossover(by_call, other)
    assume(found is not None)
    assert found is not None
    costs_as = other.replica / by_call.a_call  # so many calls cost what a replica costs
    first, last = (round(bound / costs_as) for bound in found)
    assert first == other.least
    assert list(found) == pytest.approx([first * costs_as, last * costs_as])
    gap = found[1] - (last - 1) * other.capacity
    assume(last < 1000 and gap > 1e-9 * other.capacity)  # narrower ones floats do not tell
    assert by_call.a_day(found[1] - gap / 2) < other.a_day(found[1] - gap / 2)


@given(by_call=by_call, other=lines, share=shares)
def test_the_crossover_with_a_share_is_where_two_lines_meet(by_call: Line, other: Line, share: float) -> None:
    """Below it the call is cheaper, above it the share; where the share's calls cost no less, there is none."""
    found = crossover(by_call, other)
    assert (found is None) == (by_call.a_call <= other.a_call)
    assume(found is not None and math.isfinite(found[0]) and by_call.a_call > other.a_call * 1.001)
    assert found is not None
    assert found[0] == found[1]
    assert by_call.a_day(found[0] * share) < other.a_day(found[0] * share)
    assert by_call.a_day(found[0] / share) > other.a_day(found[0] / share)


@given(
    price=st.sampled_from(list(read(SHIPPED).targets.values())),
    calls=st.integers(1, 10**9),
    more=st.integers(1, 10**6),
)
def test_more_calls_never_cost_less(price: Share | AlwaysOn | PerCall, calls: int, more: int) -> None:
    """Of each target that comes with Penstock."""
    found = curve(price, USE, 0.6)
    assert found.a_day(calls) <= found.a_day(calls + more)


def test_a_million_calls_and_a_day_are_one_price() -> None:
    """At a million calls a day both are the same, and every target of the table is there in its order."""
    prices = read(SHIPPED)
    found = {name: curve(price, USE, prices.utilisation) for name, price in prices.targets.items()}
    said = costs(prices, found, 1_000_000)
    assert [each.target for each in said] == list(prices.targets)
    for each in said:
        assert each.a_day == each.a_million
    crossing = crossovers(prices, found)
    assert [(each.per_call, each.other) for each in crossing] == [
        (one, other) for one in ("knative", "openwhisk") for other in ("embedded", "kubernetes", "kserve")
    ]


def test_what_is_free_is_never_dearer() -> None:
    """No crossover where a call costs nothing."""
    assert crossover(Line(0, 0), Steps(1, 1, 10)) is None
    free = Prices.model_validate(
        {
            "currency": "EUR",
            "utilisation": 1.0,
            "targets": {
                "ours": {"kind": "per-call", "gb_second": 0.0, "gb": 1},
                "theirs": {"kind": "always-on", "vcpu_hour": 1, "gb_hour": 1, "gb": 1},
            },
        }
    )
    found = {name: curve(price, USE, 1) for name, price in free.targets.items()}
    assert crossovers(free, found)[0].below is None
