"""Whether a candidate is worse than the champion: tests that may be asked at any moment, as often as one likes.

A fixed-size test that is looked at each second sees something sooner or later. These hold under continuous looking
(Ville's inequality): over a whole rollout, a candidate that is no worse than tolerated is called worse with a chance of
at most ALPHA. All rest on state of constant size, so a verdict costs the same at any traffic.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

#: The chance of a false alarm in a whole rollout, which the five tests (errors, refusals, latency, scores, losses) have in equal parts.
ALPHA: Final = 0.01
TESTS: Final = 5
#: The evidence (a likelihood ratio, or a bettor's wealth) at which one of them calls a candidate worse.
ENOUGH: Final = TESTS / ALPHA

# How many times worse than tolerated the alternatives are, and the stakes that are held; in equal parts each.
_TIMES: Final = (1.5, 2.0, 4.0, 8.0, 32.0, 256.0)
_STAKES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
#: What both begin with, as logarithms: no evidence for any of the alternatives, and the wealth at each stake.
NOTHING_SEEN: Final = (0.0,) * len(_TIMES)
NO_BETS: Final = (0.0,) * len(_STAKES)


def weigh(
    logs: Sequence[float], share: float, candidate: int, champion: int, tolerated: float
) -> tuple[float, ...]:
    """How much likelier what failed was if the candidate fails more often than `tolerated` times as the champion, as logarithms.

    `logs` is what was known before, by alternatives; `candidate` and `champion` are what failed since. The same of refusals.
    The likelihood ratio of each alternative to the bound is a test supermartingale, and so is a mixture of them: 1 / alpha is
    reached with a chance of at most alpha. They are ratios rather than chances, so that evidence adds up over all shares.

    Why it is one, of a candidate that fails at most r times as often, depends on what `share` w is, in (0, 1):

    - Who deals requests at random knows it beforehand: each failure is the candidate's with a chance of at most
      r w / (r w + 1 - w), however often anything fails in the meantime.
    - Who counts has seen it: w = m / (m + n), of m and n requests in a block. With q the chance of an alternative, b that bound, and
      p the champion's rate of failures in that block, the ratio's mean is at most exp((q - b) (m r p / b - n p / (1 - b))), which is
      exp(0): from 1 + x <= exp(x), for failures that are independent of each other, and of m and n.

    Conditioning on the number of events: Lindon & Malek, "Anytime-valid inference for multinomial count data",
    NeurIPS 2022. Mixtures: Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
    sequences", Annals of Statistics 49(2), 2021.
    """
    bound = _chance(share, tolerated)

    def ratio(times: float) -> float:
        other = _chance(share, tolerated * times)
        return candidate * math.log(other / bound) + champion * math.log((1 - other) / (1 - bound))

    return tuple(log + ratio(times) for log, times in zip(logs, _TIMES, strict=True))


def _chance(share: float, ratio: float) -> float:
    """That an error is the candidate's, where it fails `ratio` times as often."""
    return ratio * share / (ratio * share + 1 - share)


def bet(logs: Sequence[float], difference: float) -> tuple[float, ...]:
    """The bettor's wealth, as logarithms by stake, after a block with this `difference` in [-1, 1].

    Each stake s multiplies its wealth by 1 + s * difference. Where differences are 0 or less in the mean, whatever was
    before, wealth reaches 1 / alpha with a chance of at most alpha. Requests within a block may hang together in any way:
    a pause of one process makes many of them slow at once, and is one block all the same. It is shares of slow answers that differ,
    or means of losses that have a bound.
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


@dataclass
class Bins:
    """How many values were in each bin: `edges`, which rise, are the upper ends of all bins but the last, which has none."""

    edges: tuple[float, ...] = ()
    counts: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def of(cls, edges: Iterable[float]) -> Bins:
        """Empty ones."""
        made = tuple(edges)
        return cls(made, [0] * (len(made) + 1))

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts)

    def add(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.edges, value)] += 1

    def below(self) -> list[float]:
        """The share of values up to each edge; there must be some."""
        return [count / self.total for count in accumulate(self.counts[:-1])]

    def beyond(self, edge: float) -> int:
        """How many are above one of the edges."""
        return sum(self.counts[bisect_left(self.edges, edge) + 1 :])

    def quantile(self, share: float) -> float:
        """The upper end of the bin that this quantile is in; of the last bin the lower one."""
        above = (edge for edge, below in zip(self.edges, self.below(), strict=True) if below >= share)
        return next(above, self.edges[-1])


def distance_of_scores(champion: Bins, candidate: Bins, alpha: float) -> float:
    """How far apart the two distributions of scores are at least: Kolmogorov's distance less what chance may do.

    0 says that they may be the same. The distance of what was seen is only ever smaller by binning; where the bins of both
    differ, it is that of the candidate's distribution which is the nearest of all with its counts. True distributions are
    closer than this at any moment with a chance of at most `alpha`, for scores that are independent draws.

    Time-uniform Dvoretzky-Kiefer-Wolfowitz bound, half of `alpha` each: Howard & Ramdas, "Sequential estimation of
    quantiles with applications to A/B testing and best-arm identification", Bernoulli 28(3), 2022.
    """
    if not champion.total or not candidate.total:
        return 0.0
    known = [0.0, *candidate.below(), 1.0]
    apart = 0.0
    for edge, below in zip(champion.edges, champion.below(), strict=True):
        # Between the candidate's edges that are nearest, its distribution is what it is at one of them, or between.
        least, most = (
            known[bisect_right(candidate.edges, edge)],
            known[bisect_left(candidate.edges, edge) + 1],
        )
        apart = max(apart, least - below, below - most)
    return max(0.0, apart - _band(champion.total, alpha / 2) - _band(candidate.total, alpha / 2))


def _band(count: int, alpha: float) -> float:
    """Beyond which an empirical distribution of `count` draws is from the true one, at any count, with chance `alpha`."""
    return 0.85 * math.sqrt((math.log(math.log(math.e * count)) + 0.8 * math.log(1612 / alpha)) / count)
