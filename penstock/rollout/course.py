"""A rollout in course: who answers the next request, what was seen so far, and what follows from it."""

from __future__ import annotations

import hashlib
import json
import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from penstock.rollout.judge import (
    ALPHA,
    ENOUGH,
    TESTS,
    bet,
    distance_of_scores,
    evidence_of_errors,
    mean_of_logs,
)
from penstock.rollout.record import Record, RolloutStatus, Side, SideStatus, Stage, State

#: So many of the champion's answers tell what is slow, and by which bins scores are counted.
LEARN: Final = 200
#: Requests of each side in a block of the test of slowness, at least.
BLOCK: Final = 10
#: The candidate may be slower by so many seconds in any case: it is asked less often, and finds connections and caches cold.
LEEWAY: Final = 0.005
_BINS: Final = 20
#: Latency is counted in buckets, each a tenth wider than the one before: from 0.1 ms to some 400 s.
_FASTEST, _WIDER, _BUCKETS = 1e-4, 1.1, 160
#: Scores are read in answers of up to so many bytes.
_READ: Final = 65536


@dataclass(frozen=True)
class Seen:
    """One answer: whether it failed, and unless it did, after how many seconds it came, whether it refused the request (4xx),
    and the score in it if any.
    """

    failed: bool
    seconds: float = 0.0
    refused: bool = False
    score: float | None = None


FAILED: Final = Seen(failed=True)


@dataclass(frozen=True)
class Verdict:
    """`worse` with the reason in numbers, `next` where the stage has lasted, or `go on`."""

    word: Literal["go on", "next", "worse"]
    reason: str = ""


class Course:
    """One rollout. Its size does not grow with traffic, nor does what `verdict` costs.

    A `record` that was under way when its host ended goes on: the stage's counts begin anew.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.stopped = False
        self._deal = random.Random()  # noqa: S311 (deals requests, guards nothing)
        self._sides = (_Measured(), _Measured())  # the champion's, the candidate's
        self._learned: list[float] = []
        self._begin_stage()

    def _begin_stage(self) -> None:
        bins = len(self.record.edges) + 1 if self.record.edges else 0
        for side in self._sides:
            side.begin(bins)

    @property
    def shadowing(self) -> bool:
        """Whether requests are to be answered by the candidate too, for nobody to see."""
        return self._share == 0 and not self.stopped

    @property
    def _share(self) -> int:
        return self.record.plan.stages[self.record.stage]

    def deals(self, key: str | None) -> bool:
        """Whether the candidate answers a request: always the same for the same key, which stays as its share grows."""
        if self.stopped or not self._share:
            return False
        if key is None:
            return self._deal.random() * 100 < self._share
        # Salted, so that the next rollout begins with other callers.
        digest = hashlib.blake2b(key.encode(), key=self.record.revision.encode()[:64], digest_size=8).digest()
        return int.from_bytes(digest, "big") * 100 < self._share << 64

    # -- what was seen --------------------------------------------------------------------------------------

    def note_champion(self, seen: Seen) -> None:
        """The champion's answer to a request that was dealt to it."""
        self._note(self._sides[0], seen, self.record.slow_from)
        self._sides[0].counts.errors += seen.failed
        self._sides[0].counts.refusals += seen.refused
        self._learn(seen)

    def note_candidate(self, seen: Seen) -> None:
        """The candidate's answer to a request that was dealt to it."""
        self._note(self._sides[1], seen, self._slow_candidate)
        self._sides[1].counts.errors += seen.failed
        self._sides[1].counts.refusals += seen.refused

    def note_both(self, champion: Seen, candidate: Seen) -> None:
        """What both gave to the same request, in the shadow. What neither answered is nobody's failure."""
        self._note(self._sides[0], champion, self.record.slow_from)
        self._note(self._sides[1], candidate, self._slow_candidate)
        unanswered = [seen.failed or seen.refused for seen in (champion, candidate)]
        for side, own, other in zip(self._sides, unanswered, reversed(unanswered), strict=True):
            side.counts.errors += own and not other
        self._learn(champion)

    @property
    def _slow_candidate(self) -> float | None:
        slow_from = self.record.slow_from
        return None if slow_from is None else max(slow_from * self.record.plan.slower, slow_from + LEEWAY)

    def _note(self, side: _Measured, seen: Seen, slow_from: float | None) -> None:
        side.counts.requests += 1
        if seen.failed:
            return
        side.latency[_bucket(seen.seconds)] += 1
        if slow_from is not None:
            slow = seen.seconds > slow_from
            side.counts.timed += 1
            side.counts.slow += slow
            side.block[0] += 1
            side.block[1] += slow
        if seen.score is not None and self.record.edges is not None:
            side.scores[bisect_left(self.record.edges, seen.score)] += 1

    def _learn(self, champion: Seen) -> None:
        """By the champion's first answers: what is slow, and the bins of scores. They are not judged themselves."""
        update: dict[str, Any] = {}
        latency = self._sides[0].latency
        if self.record.slow_from is None and latency.total() >= LEARN:
            update["slow_from"] = _quantile(latency, 0.99)
        if self.record.edges is None and champion.score is not None:
            self._learned.append(champion.score)
            if len(self._learned) == LEARN:
                ordered = sorted(self._learned)
                edges = tuple(sorted({ordered[i * LEARN // _BINS] for i in range(1, _BINS)}))
                update["edges"] = edges
                for side in self._sides:
                    side.scores = [0] * (len(edges) + 1)
        if update:
            self.record = self.record.model_copy(update=update)

    # -- what follows ---------------------------------------------------------------------------------------

    def verdict(self, now: datetime) -> Verdict:
        """What is to be done. To be asked about once a second: a block of requests, for the test of slowness, ends here."""
        self._end_block()
        if reason := self._worse():
            return Verdict("worse", reason)
        plan = self.record.plan
        lasted = now - datetime.fromisoformat(self.record.since) >= timedelta(minutes=plan.minutes)
        enough = self._sides[1].counts.requests >= plan.least(self.record.stage)
        return Verdict("next" if lasted and enough and self.record.state == "under way" else "go on")

    def _end_block(self) -> None:
        champion, candidate = (side.block for side in self._sides)
        if champion[0] >= BLOCK and candidate[0] >= BLOCK:
            difference = candidate[1] / candidate[0] - champion[1] / champion[0]
            self.record = self.record.model_copy(update={"bets": bet(self.record.bets, difference)})
            for block in (champion, candidate):
                block[:] = [0, 0]

    def _worse(self) -> str:
        """Why the candidate is worse; empty where it is not known to be."""
        plan, stages = self.record.plan, (*self.record.past, self._stage)
        kinds: tuple[tuple[Literal["errors", "refusals"], str], ...] = (
            ("errors", "failed"),
            ("refusals", "were refused"),
        )
        for kind, word in kinds:
            seen = [
                (stage.share, getattr(stage.candidate, kind), getattr(stage.champion, kind))
                for stage in stages
            ]
            if evidence_of_errors(seen, plan.errors) >= ENOUGH:
                return (
                    f"{kind}: {_of(stages, 'candidate', kind, 'requests')} requests {word}, of the champion's "
                    f"{_of(stages, 'champion', kind, 'requests')}; {plan.errors:g} times as often is tolerated"
                )
        if mean_of_logs(self.record.bets) >= ENOUGH:
            assert self.record.slow_from is not None
            assert self._slow_candidate is not None
            return (
                f"latency: {_of(stages, 'candidate', 'slow', 'timed')} answers took more than "
                f"{self._slow_candidate * 1000:.3g} ms, which is tolerated; of the champion's "
                f"{_of(stages, 'champion', 'slow', 'timed')} took more than {self.record.slow_from * 1000:.3g} ms, its 99th percentile"
            )
        champion, candidate = (side.scores for side in self._sides)
        apart = distance_of_scores(champion, candidate, ALPHA / TESTS / len(plan.stages))
        if apart > plan.scores:
            return (
                f"scores: the distributions are {apart:.2f} apart at least, by {sum(candidate)} answers and "
                f"{sum(champion)} of the champion; {plan.scores:g} is tolerated"
            )
        return ""

    @property
    def _stage(self) -> Stage:
        champion, candidate = (side.counts for side in self._sides)
        return Stage(share=self._share / 100 or 0.5, candidate=candidate, champion=champion)

    def advanced(self, now: datetime) -> Record | None:
        """The record of the next stage; None where this is the last one."""
        if self.record.stage + 1 == len(self.record.plan.stages):
            return None
        return self.record.model_copy(
            update={
                "stage": self.record.stage + 1,
                "since": now.isoformat(timespec="seconds"),
                "past": (*self.record.past, self._stage.model_copy(deep=True)),
            }
        )

    def become(self, record: Record) -> None:
        """Go on in this state and stage, which are on disk; with empty counts where the stage is another one."""
        another = record.stage != self.record.stage
        # The rest has gone on since the record was made.
        moved = {name: getattr(record, name) for name in ("state", "stage", "since", "past")}
        self.record = self.record.model_copy(update=moved)
        if another:
            self._begin_stage()

    def ended(self, state: State, reason: str) -> Record:
        """The record of its end."""
        past = (*self.record.past, self._stage.model_copy(deep=True))
        return self.record.model_copy(update={"state": state, "reason": reason, "past": past})

    def status(self) -> RolloutStatus:
        """What is told of it."""
        champion, candidate = (
            SideStatus(
                requests=side.counts.requests,
                errors=side.counts.errors,
                refusals=side.counts.refusals,
                p99=_quantile(side.latency, 0.99) if side.latency else None,
            )
            for side in self._sides
        )
        return RolloutStatus.of(self.record, candidate, champion)


class _Measured:
    """What was measured of one side: `latency` in the whole rollout, `block` since the last one ended (requests, slow ones)."""

    def __init__(self) -> None:
        self.latency: Counter[int] = Counter()

    def begin(self, bins: int) -> None:
        self.counts = Side()
        self.block = [0, 0]
        self.scores = [0] * bins


def score_in(content: bytes) -> float | None:
    """The score in an answer of /predict: a regression's prediction; of two classes the probability of the second, of more
    that of the surest. Of several records the first one's; None where there is none to read.
    """
    if len(content) > _READ:
        return None
    try:
        answer = json.loads(content)
        record = answer["predictions"][0] if "predictions" in answer else answer
        found = record.get("probability", record["prediction"])
        if isinstance(found, dict):
            chances = [float(chance) for chance in found.values()]
            found = chances[1] if len(chances) == 2 else max(chances)
        score = float(found)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return score if math.isfinite(score) else None


def _bucket(seconds: float) -> int:
    if seconds <= _FASTEST:
        return 0
    return min(_BUCKETS, math.ceil(math.log(seconds / _FASTEST, _WIDER)))


def _quantile(latency: Counter[int], share: float) -> float:
    """The upper edge, in seconds, of the bucket that this quantile is in."""
    left = share * latency.total()
    for bucket in sorted(latency):
        left -= latency[bucket]
        if left <= 0:
            break
    return float(_FASTEST * _WIDER**bucket)


def _of(
    stages: Sequence[Stage],
    side: Literal["candidate", "champion"],
    part: Literal["errors", "refusals", "slow"],
    whole: Literal["requests", "timed"],
) -> str:
    """For example `7 of 120`."""
    sides: list[Side] = [getattr(stage, side) for stage in stages]
    return f"{sum(getattr(each, part) for each in sides)} of {sum(getattr(each, whole) for each in sides)}"
