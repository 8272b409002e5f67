"""A rollout whose requests a platform deals: what its pods count of their answers, and what follows from that.

Nobody of ours is asked there, so whoever looks next takes the next step. All that takes is a `Watch`, which is kept with the platform's objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from penstock.rollout.course import BLOCK, Course, Measured, Verdict
from penstock.rollout.judge import Bins
from penstock.rollout.record import Record, RolloutStatus, Side, State

#: What callers ask for; pages are none of it.
_PATHS: Final = ("/predict", "/v2/infer")
_REQUESTS: Final = "penstock_requests_total"
_SECONDS: Final = "penstock_request_seconds"
_SCORES: Final = "penstock_score"
_STARTED: Final = "process_start_time_seconds"
#: What `Counters` and `Side` have alike.
_NUMBERS: Final = ("requests", "errors", "refusals")


class Counters(BaseModel):
    """What a pod's process has counted since it `started` (seconds since 1970): requests answered, 5xx and 4xx among them, how
    long all of them took, and the scores of all records.
    """

    model_config = ConfigDict(frozen=True)

    started: float = 0.0
    requests: int = 0
    errors: int = 0
    refusals: int = 0
    seconds: Bins = Bins()
    scores: Bins = Bins()

    def since(self, before: Counters) -> Counters:
        """What was counted since the same pod had counted `before`.

        A process that was started again has begun at zero: what it counted before its end, after `before`, is not known, but that
        it ended is, and is an error.
        """
        if self.started != before.started:
            return self.model_copy(update={"requests": self.requests + 1, "errors": self.errors + 1})
        found = {each: getattr(self, each) - getattr(before, each) for each in _NUMBERS}
        return Counters(
            **found,
            seconds=_less(self.seconds, before.seconds),
            scores=_less(self.scores, before.scores),
        )


def read(metrics: str) -> Counters:
    """What a runtime's /metrics says. Raises ValueError where it is no such page."""
    # Not every room has it, and only this needs it.
    from prometheus_client.parser import text_string_to_metric_families

    answered = dict.fromkeys(_NUMBERS, 0)
    upto: dict[str, dict[float, int]] = {_SECONDS: {}, _SCORES: {}}
    started = None
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            labels, name = sample.labels, sample.name
            if name == _STARTED:
                started = float(sample.value)
            elif labels.get("path", _PATHS[0]) not in _PATHS:
                continue
            elif name == _REQUESTS:
                kind = {"5": "errors", "4": "refusals"}.get(labels["status"][0])
                for each in ("requests", kind) if kind else ("requests",):
                    answered[each] += int(sample.value)
            elif name.endswith("_bucket") and (found := upto.get(family.name)) is not None:
                edge = float(labels["le"])
                found[edge] = found.get(edge, 0) + int(sample.value)
    if started is None:
        raise ValueError(f"it does not say {_STARTED}")
    return Counters(started=started, **answered, seconds=_bins(upto[_SECONDS]), scores=_bins(upto[_SCORES]))


def _bins(upto: Mapping[float, int]) -> Bins:
    """From how many values are up to each edge, the last one infinity, how many are in each bin."""
    if not upto:
        return Bins()
    edges = sorted(upto)
    below = [0, *(upto[edge] for edge in edges)]
    counts = [here - before for before, here in pairwise(below)]
    return Bins(tuple(edges[:-1]), counts)


def _less(now: Bins, before: Bins) -> Bins:
    if now.edges != before.edges:  # nothing was in them yet
        return now
    return Bins(now.edges, [own - other for own, other in zip(now.counts, before.counts, strict=True)])


def _sum(all_bins: Iterable[Bins]) -> Bins:
    """Of pods of one revision, whose bins are the same; those without any are left out."""
    total = Bins()
    for bins in all_bins:
        if not total.edges:
            total = Bins(bins.edges, list(bins.counts))
        elif bins.edges == total.edges:
            total.counts = [own + other for own, other in zip(total.counts, bins.counts, strict=True)]
    return total


class CountedCourse(Course):
    """One rollout, of which a block of counts is seen at a time."""

    def weight(self) -> float:
        """As the block's requests were: what a platform deals is near what it was told, and no more."""
        own, other = self.candidate.block.requests, self.champion.block.requests
        return own / (own + other)

    def count(self, champion: Iterable[Counters], candidate: Iterable[Counters]) -> None:
        """Take in a block: what the pods of each side have counted in it.

        A histogram tells what is beyond an edge alone. So the champion's 99th percentile is the upper edge of the bin that it is
        in, and what the candidate is tolerated is rounded up to an edge (`slow_candidate`): a candidate that is at most
        `slower` times as slow is no more often beyond its edge than the champion is beyond its own, which is all that the test
        rests on. Edges are 2 to 2.5 times as far as the one before, so it takes two to six times as long to be seen.
        """
        for side, found, slow_from in (
            (self.champion, list(champion), self.record.slow_from),
            (self.candidate, list(candidate), self.slow_candidate),
        ):
            seconds = _sum(each.seconds for each in found)
            timed = {} if slow_from is None else {"timed": seconds.total, "slow": seconds.beyond(slow_from)}
            sums = {name: sum(getattr(each, name) for each in found) for name in _NUMBERS}
            side.block = Side(**sums, **timed)
            side.counts = _added(side.counts, side.block)
            side.latency = _sum((side.latency, seconds))
            side.scores = _sum((side.scores, *(each.scores for each in found)))
        self.learn_slowness()

    @property
    def slow_candidate(self) -> float | None:
        """The first edge from there on. See `Course`."""
        tolerated = super().slow_candidate
        if tolerated is None:
            return None
        edges = self.champion.latency.edges
        return next((edge for edge in edges if edge >= tolerated), edges[-1])


def _added(one: Side, other: Side) -> Side:
    return Side(**{name: getattr(one, name) + getattr(other, name) for name in Side.model_fields})


class Watch(BaseModel):
    """A rollout as it is kept: its record, what was measured in it, and what each pod had counted by then.

    `looked` is when (ISO 8601, UTC); `settled`, after its end, that all else has followed.
    """

    model_config = ConfigDict(frozen=True)

    record: Record
    champion: Measured = Measured()
    candidate: Measured = Measured()
    pods: dict[str, Counters] = {}
    looked: str
    settled: bool = False

    def look(
        self, champion: Mapping[str, Counters | None], candidate: Mapping[str, Counters | None], now: datetime
    ) -> tuple[Watch, Verdict]:
        """The rollout with what the pods of both sides, by name, have counted (None: not known now), and what is to be done.

        A block has some requests of each side: until then it is not taken, and counters tell at the next look. A pod that is
        seen for the first time counts from here on.
        """
        course = self._course()
        blocks = [
            [found.since(self.pods[name]) for name, found in side.items() if found and name in self.pods]
            for side in (champion, candidate)
        ]
        taken = all(sum(each.requests for each in block) >= BLOCK for block in blocks)
        if taken:
            course.count(*blocks)
        pods = {
            name: counters
            for name, found in {**champion, **candidate}.items()
            if (counters := (found if taken else None) or self.pods.get(name) or found)
        }
        verdict = course.verdict(now)
        return self._with(course, pods=pods, looked=now.isoformat()), verdict

    def advanced(self, now: datetime) -> Watch | None:
        """At the next stage; None where this is the last one."""
        course = self._course()
        further = course.advanced(now)
        if further is None:
            return None
        course.become(further)
        return self._with(course)

    def turned(self, state: State) -> Watch:
        """Paused, or under way again."""
        return self.model_copy(update={"record": self.record.model_copy(update={"state": state})})

    def ended(self, state: State, reason: str) -> Watch:
        """At its end: nothing of pods is kept."""
        return Watch(record=self._course().ended(state, reason), looked=self.looked)

    def status(self) -> RolloutStatus:
        """What is told of it."""
        return self._course().status()

    def _course(self) -> CountedCourse:
        return CountedCourse(
            self.record, self.champion.model_copy(deep=True), self.candidate.model_copy(deep=True)
        )

    def _with(self, course: Course, **update: Any) -> Watch:
        known = {"record": course.record, "champion": course.champion, "candidate": course.candidate}
        return self.model_copy(update={**known, **update})
