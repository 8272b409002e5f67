"""How many requests a caller may send: the generic cell rate algorithm, in whole numbers.

It is the leaky bucket as a meter of ITU-T I.371, Annex A: of each bucket one number is kept, the theoretical arrival time of the
next request. A caller may send `count` requests at once, and gets one back every `seconds / count`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_NS: Final = 10**9
_WRITTEN = re.compile(rf"([1-9][0-9]{{0,8}})/({'|'.join(_SECONDS)})", re.ASCII)


@dataclass(frozen=True)
class Rate:
    """At most `count` requests at once, and as many more in each `seconds`."""

    count: int
    seconds: int

    @classmethod
    def read(cls, written: str) -> Rate:
        """The rate that is written as `600/minute`. Raises ValueError."""
        if (found := _WRITTEN.fullmatch(written)) is None:
            raise ValueError(f"expected a number and a time, such as 600/minute: {', '.join(_SECONDS)}")
        return cls(int(found[1]), _SECONDS[found[2]])

    def __str__(self) -> str:
        return f"{self.count}/{next(name for name, length in _SECONDS.items() if length == self.seconds)}"


@dataclass(frozen=True)
class Bucket:
    """What one rate is counted by: `policy` is what callers know it as, `owner` whose it is."""

    policy: str
    owner: Hashable
    rate: Rate


@dataclass(frozen=True)
class Verdict:
    """Whether a request is let through, and what its answer says of the limits.

    `retry_after` is in whole seconds, 0 for one that is let through.
    """

    retry_after: int
    headers: tuple[tuple[str, str], ...]

    @property
    def admitted(self) -> bool:
        """Whether it is let through."""
        return not self.retry_after


class Limiter:
    """All buckets of one process. What is asked is judged and counted in one step, so that no two requests share a place."""

    _FEW = 1024  # so many buckets are kept without a look at which have become full again

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """`clock` gives nanoseconds."""
        self._clock = clock
        # Times are in units of ns / count, in which everything is a whole number: nothing drifts.
        self._due: dict[Bucket, int] = {}
        self._sweep_at = self._FEW

    def admit(self, buckets: Sequence[Bucket]) -> Verdict:
        """Take one from each bucket, or from none where one of them is empty."""
        now = self._clock()
        due = {bucket: max(self._due.get(bucket, 0), now * bucket.rate.count) for bucket in buckets}
        waits = [_wait(bucket.rate, at - now * bucket.rate.count) for bucket, at in due.items()]
        retry_after = max(waits, default=0)
        if not retry_after:
            for bucket in due:
                due[bucket] += _interval(bucket.rate)
            self._due |= due
            self._sweep(now)
        return Verdict(
            retry_after, _headers([(each, at - now * each.rate.count) for each, at in due.items()])
        )

    def __len__(self) -> int:
        """How many buckets are kept."""
        return len(self._due)

    def _sweep(self, now: int) -> None:
        """Forget the buckets that are full again; in all it costs each request the same."""
        if len(self._due) > self._sweep_at:
            self._due = {each: due for each, due in self._due.items() if due > now * each.rate.count}
            self._sweep_at = max(self._FEW, 2 * len(self._due))


def _interval(rate: Rate) -> int:
    """Between two requests of a steady caller."""
    return rate.seconds * _NS


def _wait(rate: Rate, ahead: int) -> int:
    """Whole seconds until one more conforms, where the bucket's time is so far ahead of the clock; 0: it does now."""
    excess = ahead - (rate.count - 1) * _interval(rate)
    return _seconds(rate, excess) if excess > 0 else 0


def _seconds(rate: Rate, units: int) -> int:
    return -(-units // (rate.count * _NS))


def _headers(states: list[tuple[Bucket, int]]) -> tuple[tuple[str, str], ...]:
    """What draft-ietf-httpapi-ratelimit-headers-11 tells a caller of each of its buckets."""
    if not states:
        return ()
    policies = [f'"{each.policy}";q={each.rate.count};w={each.rate.seconds}' for each, _ in states]
    left = [_left(each, ahead) for each, ahead in states]
    return (("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(left)))


def _left(bucket: Bucket, ahead: int) -> str:
    """`r` are left, and one more in `t` seconds."""
    interval = _interval(bucket.rate)
    taken = -(-ahead // interval)
    until_next = ahead - (taken - 1) * interval if taken else 0
    return f'"{bucket.policy}";r={bucket.rate.count - taken};t={_seconds(bucket.rate, until_next)}'
