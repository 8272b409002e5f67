"""A rollout whose requests we deal ourselves: who answers the next one, and what is seen of each answer."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock.rollout.course import LEARN, Course, Measured
from penstock.rollout.judge import Bins
from penstock.rollout.labels import Answer, Answered, Answers, Comparison, Label, Taken
from penstock.rollout.record import Record

_BINS: Final = 20
#: Latency is counted in bins, each a tenth wider than the one before: from 0.1 ms to some 400 s.
_SECONDS: Final = tuple(1e-4 * 1.1**i for i in range(160))
#: Scores are read in answers of up to so many bytes.
_READ: Final = 65536


@dataclass(frozen=True)
class Seen:
    """One answer: whether it failed, and unless it did, after how many seconds it came, whether it refused the request (4xx),
    and the score in it, and what it predicted, if any.
    """

    failed: bool
    seconds: float = 0.0
    refused: bool = False
    score: float | None = None
    predicted: Answer | None = None


FAILED: Final = Seen(failed=True)


class DealtCourse(Course):
    """One rollout, of which each answer is seen.

    A `record` that was under way when its host ended goes on: the stage's counts begin anew. In `answers` is remembered what labels may
    come for, where they can.
    """

    def __init__(self, record: Record, answers: Answers | None = None) -> None:
        sides = (Measured(latency=Bins.of(_SECONDS), scores=Bins.of(record.edges or ())) for _ in range(2))
        super().__init__(record, *sides)
        self.stopped = False
        self._deal = random.Random()  # noqa: S311 (deals requests, guards nothing)
        self._learned: list[float] = []
        self._answers = answers
        bound = answers.problem.bound if answers else None
        self._comparison = Comparison(record.losses, bound, record.plan.losses)

    @property
    def shadowing(self) -> bool:
        """Whether requests are to be answered by the candidate too, for nobody to see."""
        return self.record.share == 0 and not self.stopped

    def deals(self, key: str | None) -> bool:
        """Whether the candidate answers a request: always the same for the same key, which stays as its share grows."""
        if self.stopped or not self.record.share:
            return False
        if key is None:
            return self._deal.random() * 100 < self.record.share
        # Salted, so that the next rollout begins with other callers.
        digest = hashlib.blake2b(key.encode(), key=self.record.revision.encode()[:64], digest_size=8).digest()
        return int.from_bytes(digest, "big") * 100 < self.record.share << 64

    def weight(self) -> float:
        """As requests are dealt, whatever failed."""
        return self.compared

    # -- what was seen --------------------------------------------------------------------------------------

    # `request` is the id by which a label of it may come.

    def note_champion(self, seen: Seen, request: str | None = None) -> None:
        """The champion's answer to a request that was dealt to it."""
        self._note(self.champion, seen, self.record.slow_from)
        _fail(self.champion, errors=seen.failed, refusals=seen.refused)
        self._learn(seen)
        self._remember(request, champion=seen)

    def note_candidate(self, seen: Seen, request: str | None = None) -> None:
        """The candidate's answer to a request that was dealt to it."""
        self._note(self.candidate, seen, self.slow_candidate)
        _fail(self.candidate, errors=seen.failed, refusals=seen.refused)
        self._remember(request, candidate=seen)

    def note_both(self, champion: Seen, candidate: Seen, request: str | None = None) -> None:
        """What both gave to the same request, in the shadow. What neither answered is nobody's failure."""
        self._note(self.champion, champion, self.record.slow_from)
        self._note(self.candidate, candidate, self.slow_candidate)
        first, second = (seen.failed or seen.refused for seen in (champion, candidate))
        _fail(self.champion, errors=first and not second)
        _fail(self.candidate, errors=second and not first)
        self._learn(champion)
        self._remember(request, champion, candidate)

    def _remember(self, request: str | None, champion: Seen = FAILED, candidate: Seen = FAILED) -> None:
        if request is None or self._answers is None:
            return
        problem = self._answers.problem
        own, other = (problem.answer(seen.score, seen.predicted) for seen in (candidate, champion))
        if own is not None or other is not None:
            self._answers.remember(request, Answered(self.record.stage, other, own))

    # -- what is true ---------------------------------------------------------------------------------------

    def label(self, labels: Mapping[str, Label]) -> Taken:
        """Take in what is true of requests, by their ids. Raises ValueError, and takes none, where that is no answer to them."""
        answers = self._answers
        if answers is None:
            return Taken(unknown=len(labels))
        problem = answers.problem
        for request, label in labels.items():
            if fault := problem.fault(label):
                raise ValueError(f"the label of {request[:80]!r} is {str(label)[:80]!r}, {fault}")
        known = [request for request in labels if request in answers]
        taken = 0
        for request in known:
            if (found := answers.take(request)) is not None:
                taken += 1
                losses = (
                    None if answer is None else problem.loss(answer, labels[request])
                    for answer in (found.champion, found.candidate)
                )
                self._comparison.note(found.stage, *losses)
        self.record = self.record.model_copy(update={"losses": self._comparison.losses.model_copy()})
        return Taken(taken=taken, again=len(known) - taken, unknown=len(labels) - len(known))

    def _note(self, side: Measured, seen: Seen, slow_from: float | None) -> None:
        side.counts.requests += 1
        if seen.failed:
            return
        side.latency.add(seen.seconds)
        if slow_from is not None:
            for counts in (side.counts, side.block):
                counts.timed += 1
                counts.slow += seen.seconds > slow_from
        if seen.score is not None and self.record.edges is not None:
            side.scores.add(seen.score)

    def _learn(self, champion: Seen) -> None:
        """By the champion's first answers: what is slow, and the bins of scores. They are not judged themselves."""
        self.learn_slowness()
        if self.record.edges is None and champion.score is not None:
            self._learned.append(champion.score)
            if len(self._learned) == LEARN:
                ordered = sorted(self._learned)
                edges = tuple(sorted({ordered[i * LEARN // _BINS] for i in range(1, _BINS)}))
                self.record = self.record.model_copy(update={"edges": edges})
                self.champion.scores, self.candidate.scores = Bins.of(edges), Bins.of(edges)


def _fail(side: Measured, *, errors: bool, refusals: bool = False) -> None:
    for counts in (side.counts, side.block):
        counts.errors += errors
        counts.refusals += refusals


def answer_in(content: bytes) -> tuple[float | None, Answer | None]:
    """The score in an answer of /predict, and what it predicted: of several records the first one's; None where there is none to read.

    The score is a regression's prediction; of two classes the probability of the second, of more that of the surest.
    """
    if len(content) > _READ:
        return None, None
    predicted = None
    try:
        answer = json.loads(content)
        record = answer["predictions"][0] if "predictions" in answer else answer
        predicted = record["prediction"]
        found = record.get("probability", predicted)
        if isinstance(found, dict):
            chances = [float(chance) for chance in found.values()]
            found = chances[1] if len(chances) == 2 else max(chances)
        score = float(found)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        score = math.nan
    return (
        score if math.isfinite(score) else None,
        predicted if isinstance(predicted, str | int | float) else None,
    )
