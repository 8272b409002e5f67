"""Whether a candidate is worse than the champion: tests that may be asked at any moment, as often as one likes.

A fixed-size test that is looked at each second sees something sooner or later. These hold under continuous looking
(Ville's inequality): over a whole rollout, a candidate that is no worse than tolerated is called worse with a chance of
at most ALPHA. All rest on state of constant size, so a verdict costs the same at any traffic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

#: The chance of a false alarm in a whole rollout, which the four tests (errors, refusals, latency, scores) have in equal parts.
ALPHA: Final = 0.01
TESTS: Final = 4
#: The evidence (a likelihood ratio, or a bettor's wealth) at which one of them calls a candidate worse.
ENOUGH: Final = TESTS / ALPHA

# How many times worse than tolerated the alternatives are, and the stakes that are held; in equal parts each.
_TIMES: Final = (1.5, 2.0, 4.0, 8.0, 32.0, 256.0)
_STAKES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
#: What a bettor begins with: the logarithm of the wealth at each stake.
NO_BETS: Final = (0.0,) * len(_STAKES)


def evidence_of_errors(steps: Iterable[tuple[float, int, int]], tolerated: float) -> float:
    """How much likelier the errors seen are if the candidate fails more often than `tolerated` times as the champion.

    The same of refusals. `steps`: the candidate's share w of requests in (0, 1), its errors, and the champion's, a step each. Requests are dealt
    at random, so while the candidate fails at most r times as often, each error is its own with a chance of at most
    r w / (r w + 1 - w), however often anything fails in the meantime. The likelihood ratio of a larger chance to that bound
    is a test supermartingale, and so is a mixture of them: 1 / alpha is reached with a chance of at most alpha. It mixes
    over ratios rather than chances, so that evidence adds up over steps with different shares.

    Conditioning on the number of events: Lindon & Malek, "Anytime-valid inference for multinomial count data",
    NeurIPS 2022. Mixtures: Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
    sequences", Annals of Statistics 49(2), 2021. Returns infinity rather than overflow.
    """
    seen = list(steps)

    def logarithm(times: float) -> float:
        total = 0.0
        for share, candidate, champion in seen:
            bound, other = _chance(share, tolerated), _chance(share, tolerated * times)
            total += candidate * math.log(other / bound) + champion * math.log((1 - other) / (1 - bound))
        return total

    return mean_of_logs([logarithm(times) for times in _TIMES])


def _chance(share: float, ratio: float) -> float:
    """That an error is the candidate's, where it fails `ratio` times as often."""
    return ratio * share / (ratio * share + 1 - share)


def bet(logs: Sequence[float], difference: float) -> tuple[float, ...]:
    """The bettor's wealth, as logarithms by stake, after a block with this `difference` in [-1, 1].

    Each stake s multiplies its wealth by 1 + s * difference. Where differences are 0 or less in the mean, whatever was
    before, wealth reaches 1 / alpha with a chance of at most alpha. Requests within a block may hang together in any way:
    a pause of one process makes many of them slow at once, and is one block all the same.
    Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86(1), 2024.
    """
    return tuple(log + math.log1p(stake * difference) for log, stake in zip(logs, _STAKES, strict=True))


def mean_of_logs(logs: Sequence[float]) -> float:
    """The mean of the numbers with these logarithms; infinity where it is too large for a float."""
    most = max(logs)
    try:
        return math.exp(most) * math.fsum(math.exp(log - most) for log in logs) / len(logs)
    except OverflowError:
        return math.inf


def distance_of_scores(champion: Sequence[int], candidate: Sequence[int], alpha: float) -> float:
    """How far apart the two distributions of scores are at least: Kolmogorov's distance less what chance may do.

    Takes counts by the same bins. 0 says that they may be the same; the distance of what was seen is only ever smaller by
    binning. True distributions are closer than this at any moment with a chance of at most `alpha`, for scores that
    are independent draws.

    Time-uniform Dvoretzky-Kiefer-Wolfowitz bound, half of `alpha` each: Howard & Ramdas, "Sequential estimation of
    quantiles with applications to A/B testing and best-arm identification", Bernoulli 28(3), 2022.
    """
    first, second = sum(champion), sum(candidate)
    if not first or not second:
        return 0.0
    apart = below_first = below_second = 0.0
    for one, other in zip(champion, candidate, strict=True):
        below_first += one / first
        below_second += other / second
        apart = max(apart, abs(below_first - below_second))
    return max(0.0, apart - _band(first, alpha / 2) - _band(second, alpha / 2))


def _band(count: int, alpha: float) -> float:
    """Beyond which an empirical distribution of `count` draws is from the true one, at any count, with chance `alpha`."""
    return 0.85 * math.sqrt((math.log(math.log(math.e * count)) + 0.8 * math.log(1612 / alpha)) / count)
