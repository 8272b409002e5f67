"""What calls cost: pure functions of what one call takes, prices, and how many calls there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from penstock.fit.figures import GIB, Figures
from penstock.fit.prices import AlwaysOn, PerCall, Price, Prices, Share

_HOURS, _SECONDS = 24, 86_400  # of a day


@dataclass(frozen=True)
class Use:
    """What a function takes: seconds of a call by the clock, core-seconds of a call, GB (2^30 bytes) of its process."""

    seconds: float
    core_seconds: float
    gb: float

    @classmethod
    def of(cls, figures: Figures) -> Use:
        return cls(figures.p50_ms / 1e3, 1 / figures.requests_a_second, figures.memory_bytes / GIB)


@dataclass(frozen=True)
class Line:
    """A cost of so much a day and so much a call."""

    fixed: float
    a_call: float

    def a_day(self, calls: float) -> float:
        """What a day with so many calls costs."""
        return self.fixed + self.a_call * calls


@dataclass(frozen=True)
class Steps:
    """A cost of whole replicas, at least `least`: each so much a day, for at most `capacity` calls a day."""

    replica: float
    least: int
    capacity: float

    def replicas(self, calls: float) -> int:
        """How many it takes, where calls come evenly."""
        return max(self.least, math.ceil(calls / self.capacity))

    def a_day(self, calls: float) -> float:
        """What a day with so many calls costs."""
        return self.replica * self.replicas(calls)


def curve(price: Price, use: Use, utilisation: float) -> Line | Steps:
    """What a function costs on a target, by calls a day."""
    if isinstance(price, Share):
        core_hours = use.core_seconds / utilisation / 3600
        return Line(_HOURS * price.gb_hour * use.gb, core_hours * price.vcpu_hour)
    gb = max(price.gb, use.gb)
    # A runtime answers with one core: more of them make it no faster.
    core = min(price.vcpu, 1.0)
    if isinstance(price, AlwaysOn):
        replica = _HOURS * (price.vcpu * price.vcpu_hour + gb * price.gb_hour)
        return Steps(replica, price.replicas, _SECONDS * core * utilisation / use.core_seconds)
    rounding = price.rounding_ms / 1e3
    # 0.3 / 0.1 is a little less than 3, and 1.1 / 0.1 a little more than 11.
    billed = rounding * math.ceil(round(use.seconds / core / rounding, 9))
    return Line(
        0, price.million_requests / 1e6 + billed * (gb * price.gb_second + price.vcpu * price.vcpu_second)
    )


def crossover(per_call: Line, other: Line | Steps) -> tuple[float, float] | None:
    """From how many calls a day on `other` is not dearer than paying by the call: two bounds, or None where it is always dearer.

    Below the first paying by the call is cheaper, above the second `other` is, or as cheap. They differ only where replicas are added
    between them, each of which is dearer until there is enough for it to do.
    """
    c = per_call.a_call
    if isinstance(other, Line):
        if c <= other.a_call:
            return None
        at = other.fixed / (c - other.a_call)
        return at, at
    # k replicas cost what k * even calls cost; k of them answer k * capacity.
    capacity = other.capacity
    if c == 0 or (even := other.replica / c) >= capacity:
        return None
    # The last k whose first call, the one after (k - 1) * capacity, is cheaper by the call.
    last = max(other.least, math.ceil(capacity / (capacity - even)) - 1)
    return other.least * even, last * even


class Cost(BaseModel):
    """What a target costs at the calls a day that were asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    kind: str = Field(description="how it is paid: share, always-on or per-call")
    replicas: int | None = Field(description="of the kind always-on: how many it takes")
    a_day: float
    a_million: float = Field(description="a million calls, where there are so many a day")


class Crossover(BaseModel):
    """From how many calls a day on a target is cheaper than one that is paid by the call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_call: str
    other: str
    below: float | None = Field(
        description="below so many calls a day the one by the call is cheaper; null: it is at any number"
    )
    above: float | None = Field(description="above so many the other one is; the same but for added replicas")


def curves(prices: Prices, figures: Figures) -> dict[str, Line | Steps]:
    """What the function costs on each target."""
    use = Use.of(figures)
    return {name: curve(price, use, prices.utilisation) for name, price in prices.targets.items()}


def costs(prices: Prices, found: Mapping[str, Line | Steps], calls: int) -> list[Cost]:
    """What each target costs at so many calls a day (1 or more), in the order of the table."""
    return [
        Cost(
            target=name,
            kind=prices.targets[name].kind,
            replicas=each.replicas(calls) if isinstance(each, Steps) else None,
            a_day=each.a_day(calls),
            a_million=each.a_day(calls) / calls * 1e6,
        )
        for name, each in found.items()
    ]


def crossovers(prices: Prices, found: Mapping[str, Line | Steps]) -> list[Crossover]:
    """Each target that is paid by the call against each that is not."""
    made = []
    for name, line in found.items():
        if not isinstance(prices.targets[name], PerCall):
            continue
        assert isinstance(line, Line)
        for other, price in prices.targets.items():
            if not isinstance(price, PerCall):
                below, above = crossover(line, found[other]) or (None, None)
                made.append(Crossover(per_call=name, other=other, below=below, above=above))
    return made
