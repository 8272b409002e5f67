"""A rollout in course, as it is judged: what was seen of both sides so far, and what follows from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel

from penstock.rollout.judge import (
    ALPHA,
    ENOUGH,
    TESTS,
    Bins,
    bet,
    distance_of_scores,
    mean_of_logs,
    weigh,
)
from penstock.rollout.record import Record, RolloutStatus, Side, SideStatus, Stage, State

#: So many of the champion's answers tell what is slow.
LEARN: Final = 200
#: Requests of each side in a block of the test of slowness, at least.
BLOCK: Final = 10
#: The candidate may be slower by so many seconds in any case: it is asked less often, and finds connections and caches cold.
LEEWAY: Final = 0.005
_KINDS: Final[tuple[tuple[Literal["errors", "refusals"], str], ...]] = (
    ("errors", "failed"),
    ("refusals", "were refused"),
)


@dataclass(frozen=True)
class Verdict:
    """`worse` with the reason in numbers, `next` where the stage has lasted, or `go on`."""

    word: Literal["go on", "next", "worse"]
    reason: str = ""


class Measured(BaseModel):
    """What was measured of one side: `counts` and `scores` in the stage, `latency` (seconds) in the whole rollout.

    `block` is what is not judged yet.
    """

    counts: Side = Side()
    block: Side = Side()
    scores: Bins = Bins()
    latency: Bins = Bins()

    def begin(self) -> None:
        """Have nothing seen of a stage."""
        self.counts, self.block, self.scores = Side(), Side(), Bins.of(self.scores.edges)


class Course(ABC):
    """One rollout. Its size does not grow with traffic, nor does what `verdict` costs.

    `champion` and `candidate` are what was measured; who feeds them is a subclass.
    """

    def __init__(self, record: Record, champion: Measured, candidate: Measured) -> None:
        self.record = record
        self.champion = champion
        self.candidate = candidate

    @property
    def compared(self) -> float:
        """The candidate's share of what is compared: one half in the shadow."""
        return self.record.share / 100 or 0.5

    @property
    def slow_candidate(self) -> float | None:
        """From how many seconds on an answer of the candidate is slow; None while that is not known."""
        slow_from = self.record.slow_from
        return None if slow_from is None else max(slow_from * self.record.plan.slower, slow_from + LEEWAY)

    def learn_slowness(self) -> None:
        """By the champion's first answers, which are not judged themselves."""
        if self.record.slow_from is None and self.champion.latency.total >= LEARN:
            update = {"slow_from": self.champion.latency.quantile(0.99)}
            self.record = self.record.model_copy(update=update)

    # -- what follows ---------------------------------------------------------------------------------------

    def verdict(self, now: datetime) -> Verdict:
        """What is to be done. To be asked about once a second: a block of requests, for the test of slowness, ends here."""
        self._judge_block()
        if reason := self._worse():
            return Verdict("worse", reason)
        plan = self.record.plan
        lasted = now - datetime.fromisoformat(self.record.since) >= timedelta(minutes=plan.minutes)
        enough = self.candidate.counts.requests >= plan.least(self.record.stage)
        return Verdict("next" if lasted and enough and self.record.state == "under way" else "go on")

    @abstractmethod
    def weight(self) -> float:
        """The candidate's share of the requests in the block, as `penstock.rollout.judge.weigh` takes it."""

    def _judge_block(self) -> None:
        champion, candidate = self.champion.block, self.candidate.block
        update: dict[str, tuple[float, ...]] = {}
        for kind, _ in _KINDS:
            own, other = getattr(candidate, kind), getattr(champion, kind)
            if own or other:
                logs = getattr(self.record, kind)
                update[kind] = weigh(logs, self.weight(), own, other, self.record.plan.errors)
        champion.errors = champion.refusals = candidate.errors = candidate.refusals = 0
        if champion.timed >= BLOCK and candidate.timed >= BLOCK:
            difference = candidate.slow / candidate.timed - champion.slow / champion.timed
            update["bets"] = bet(self.record.bets, difference)
            self.champion.block, self.candidate.block = Side(), Side()
        self.record = self.record.model_copy(update=update)

    def _worse(self) -> str:
        """Why the candidate is worse; empty where it is not known to be."""
        plan, stages = self.record.plan, (*self.record.past, self._stage)
        for kind, word in _KINDS:
            if mean_of_logs(getattr(self.record, kind)) >= ENOUGH:
                return (
                    f"{kind}: {_of(stages, 'candidate', kind, 'requests')} requests {word}, of the champion's "
                    f"{_of(stages, 'champion', kind, 'requests')}; {plan.errors:g} times as often is tolerated"
                )
        if mean_of_logs(self.record.bets) >= ENOUGH:
            assert self.record.slow_from is not None
            assert self.slow_candidate is not None
            return (
                f"latency: {_of(stages, 'candidate', 'slow', 'timed')} answers took more than "
                f"{self.slow_candidate * 1000:.3g} ms, which is tolerated; of the champion's "
                f"{_of(stages, 'champion', 'slow', 'timed')} took more than {self.record.slow_from * 1000:.3g} ms, its 99th percentile"
            )
        champion, candidate = self.champion.scores, self.candidate.scores
        apart = distance_of_scores(champion, candidate, ALPHA / TESTS / len(plan.stages))
        if apart > plan.scores:
            return (
                f"scores: the distributions are {apart:.2f} apart at least, by {candidate.total} answers and "
                f"{champion.total} of the champion; {plan.scores:g} is tolerated"
            )
        losses = self.record.losses
        if mean_of_logs(losses.bets) >= ENOUGH:
            own, other = losses.candidate / losses.pairs, losses.champion / losses.pairs
            upto = f", each up to {plan.losses * losses.most:.3g}" if losses.most else ""
            return (
                f"losses: {own:.3g} in the mean by {losses.candidate_labels} labels{upto}, of the champion {other:.3g} by "
                f"{losses.champion_labels}; {plan.losses:g} times as much is tolerated"
            )
        return ""

    @property
    def _stage(self) -> Stage:
        return Stage(
            share=self.compared,
            candidate=self.candidate.counts.model_copy(),
            champion=self.champion.counts.model_copy(),
        )

    def advanced(self, now: datetime) -> Record | None:
        """The record of the next stage; None where this is the last one."""
        if self.record.stage + 1 == len(self.record.plan.stages):
            return None
        return self.record.model_copy(
            update={
                "stage": self.record.stage + 1,
                "since": now.isoformat(timespec="seconds"),
                "past": (*self.record.past, self._stage),
            }
        )

    def become(self, record: Record) -> None:
        """Go on in this state and stage, which are kept; with empty counts where the stage is another one."""
        another = record.stage != self.record.stage
        # The rest has gone on since the record was made.
        moved = {name: getattr(record, name) for name in ("state", "stage", "since", "past")}
        self.record = self.record.model_copy(update=moved)
        if another:
            self.champion.begin()
            self.candidate.begin()

    def ended(self, state: State, reason: str) -> Record:
        """The record of its end."""
        past = (*self.record.past, self._stage)
        return self.record.model_copy(update={"state": state, "reason": reason, "past": past})

    def status(self) -> RolloutStatus:
        """What is told of it; after its end nothing of what its sides do."""
        if self.record.over:
            return RolloutStatus.of(self.record)
        losses = self.record.losses
        candidate, champion = (
            SideStatus(
                requests=side.counts.requests,
                errors=side.counts.errors,
                refusals=side.counts.refusals,
                p99=side.latency.quantile(0.99) if side.latency.total else None,
                labels=labels,
                loss=total / losses.pairs if losses.pairs else None,
            )
            for side, labels, total in (
                (self.candidate, losses.candidate_labels, losses.candidate),
                (self.champion, losses.champion_labels, losses.champion),
            )
        )
        return RolloutStatus.of(self.record, candidate, champion)


def _of(
    stages: Sequence[Stage],
    side: Literal["candidate", "champion"],
    part: Literal["errors", "refusals", "slow"],
    whole: Literal["requests", "timed"],
) -> str:
    """For example `7 of 120`."""
    sides: list[Side] = [getattr(stage, side) for stage in stages]
    return f"{sum(getattr(each, part) for each in sides)} of {sum(getattr(each, whole) for each in sides)}"
