"""Labels: what callers learn later about their requests, and what that says of the versions that answered them."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated, Final, NamedTuple

from pydantic import PlainValidator

from penstock.rollout.course import LEARN
from penstock.rollout.judge import bet
from penstock.rollout.record import Losses

#: Of a number that is a label, and of its loss: sums of such are numbers still.
_MOST: Final = 1e200
#: Of a caller's own id; the prediction log has as much of it.
_ID_CHARACTERS: Final = 128


def _plain(value: object) -> object:
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError("expected a number, a text, true or false")


#: What is true of a request: a number, or a class.
Label = Annotated[bool | int | float | str, PlainValidator(_plain)]
#: What of an answer its label is held against: a prediction, or the probability of the second of two classes.
Answer = float | str


@dataclass(frozen=True)
class Problem:
    """What a function answers: one of `classes`, with their `probabilities` or without; a number where there are no classes."""

    classes: tuple[str | int, ...] = ()
    probabilities: bool = False

    @property
    def bound(self) -> float | None:
        """The largest loss that there can be; None of numbers, where any can."""
        return 1.0 if self.classes else None

    @property
    def _scored(self) -> bool:
        return self.probabilities and len(self.classes) == 2

    def fault(self, label: Label) -> str | None:
        """What is wrong with a label."""
        if self.classes:
            return None if label in self.classes else f"expected one of {list(self.classes)}"
        number = not isinstance(label, str | bool) and -_MOST <= label <= _MOST
        return None if number else "expected a number"

    def answer(self, score: float | None, predicted: Answer | None) -> Answer | None:
        """What of an answer with this score, in the prediction log's sense, is remembered; None where that is not in it."""
        return predicted if self.classes and not self._scored else score

    def loss(self, answer: Answer, label: Label) -> float:
        """How wrong the answer was. In the mean the smallest is due to whoever

        - of two classes, says their true probabilities: the squared difference (Brier, "Verification of forecasts expressed in
          terms of probability", Monthly Weather Review 78(1), 1950);
        - of more, or without probabilities, names the right one most often: 1 for a wrong one;
        - of numbers, is nearest: the absolute difference, in the label's unit.
        """
        if not self.classes:
            return min(abs(float(label) - float(answer)), _MOST)
        if self._scored:
            return (float(answer) - (label == self.classes[1])) ** 2
        return float(answer != label)


class Taken(NamedTuple):
    """What became of labels: those that count, those of requests that had one before, and those of requests that are not known."""

    taken: int = 0
    again: int = 0
    unknown: int = 0


class Answered(NamedTuple):
    """What was answered to a request of that stage, by one side or by both."""

    stage: int
    champion: Answer | None
    candidate: Answer | None


class Answers:
    """What was answered to the latest requests, at most `most`, by their ids. Of an id that is used again the first request is meant."""

    def __init__(self, problem: Problem, most: int) -> None:
        self.problem = problem
        self._most = most
        self._known: OrderedDict[str, Answered | None] = OrderedDict()

    def __contains__(self, request: str) -> bool:
        return request in self._known

    def remember(self, request: str, answered: Answered) -> None:
        """Until it is the oldest, or its label came."""
        if len(request) > _ID_CHARACTERS or request in self._known:
            return
        if len(self._known) >= self._most:
            self._known.popitem(last=False)
        self._known[request] = answered

    def take(self, request: str) -> Answered | None:
        """What was answered, once; None afterwards, and where it is not known."""
        found = self._known.get(request)
        if found is not None:
            self._known[request] = None
        return found


class Comparison:
    """The losses of both sides in pairs: as soon as both have some by requests of one stage, their means there are a pair.

    Of one stage, as the sides' shares are others in the next, where requests may be others, too. The candidate's losses are divided
    by what is `tolerated`, and none counts for more than the `bound` of all losses, or where there is none than `Losses.most`, which
    the champion's first LEARN labels give; these are not judged themselves. So a bet on the difference of a pair's means is won
    in the mean only where the candidate's bounded losses, so divided, are larger than the champion's.
    """

    def __init__(self, losses: Losses, bound: float | None, tolerated: float) -> None:
        self.losses = losses.model_copy()
        self._bound = bound
        self._tolerated = tolerated
        self._open: dict[int, _Pair] = {}

    @property
    def _learning(self) -> bool:
        """Whether a loss has no scale yet: it has none either while the champion was never wrong."""
        losses = self.losses
        return self._bound is None and (losses.champion_labels < LEARN or not losses.largest)

    def note(self, stage: int, champion: float | None, candidate: float | None) -> None:
        """The losses by one request's label, None for a side that has not answered it."""
        losses = self.losses
        learning = self._learning
        losses.champion_labels += champion is not None
        losses.candidate_labels += candidate is not None
        if learning:
            losses.largest = max(losses.largest, champion or 0.0)
            return
        most = self._bound or losses.most
        pair = self._open.setdefault(stage, _Pair())
        pair.champion.add(champion, most)
        pair.candidate.add(None if candidate is None else candidate / self._tolerated, most)
        if pair.champion.number and pair.candidate.number:
            del self._open[stage]
            own, other = pair.candidate.mean, pair.champion.mean
            losses.pairs += 1
            losses.candidate += own * self._tolerated
            losses.champion += other
            losses.bets = bet(losses.bets, (own - other) / most)


@dataclass
class _Sum:
    number: int = 0
    total: float = 0.0

    def add(self, loss: float | None, most: float) -> None:
        if loss is not None:
            self.number += 1
            self.total += min(loss, most)

    @property
    def mean(self) -> float:
        return self.total / self.number


@dataclass
class _Pair:
    champion: _Sum = field(default_factory=_Sum)
    candidate: _Sum = field(default_factory=_Sum)
