"""What is kept of a rollout, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

from pydantic import BaseModel, ConfigDict

from penstock.rollout.judge import NO_BETS, NOTHING_SEEN
from penstock.spec.rollout import Rollout

State = Literal["under way", "paused", "promoted", "worse", "aborted"]
_IN_COURSE: Final = ("under way", "paused")
#: What a person may do to a rollout in course.
Action = Literal["pause", "resume", "promote", "abort"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
#: What it is then.
AFTER: Final[Mapping[Action, State]] = {
    "pause": "paused", "resume": "under way", "promote": "promoted", "abort": "aborted",
}  # fmt: skip


class Side(BaseModel):
    """What one side answered: `timed` of the requests were held against the bound of slowness, `slow` of them beyond it.

    Errors are 5xx or no answer, refusals 4xx. In the shadow, errors are the requests that the other side alone has answered,
    and there are no refusals.
    """

    requests: int = 0
    errors: int = 0
    refusals: int = 0
    timed: int = 0
    slow: int = 0


class Stage(BaseModel):
    """What was seen while the candidate had this `share` of what is compared (one half in the shadow)."""

    share: float
    candidate: Side
    champion: Side


class Losses(BaseModel):
    """What labels say: how many came for each side, and of the `pairs` that they made (`penstock.rollout.labels`) the sums of
    both sides' mean losses, in the label's unit, and the wealth of whoever bets on their difference.

    `largest` is the champion's largest loss among those that gave a scale, 0 where losses have a bound of their own.
    """

    champion_labels: int = 0
    candidate_labels: int = 0
    largest: float = 0.0
    pairs: int = 0
    champion: float = 0.0
    candidate: float = 0.0
    bets: tuple[float, ...] = NO_BETS

    @property
    def most(self) -> float:
        """What one loss counts for at most, where losses have no bound of their own: a candidate that is far worse than the champion
        ever was is told from it, and no single loss decides.
        """
        return 2 * self.largest


class Record(BaseModel):
    """A rollout as it is kept: who began it (`run`), how far it is, and how it ended.

    `past` are the stages that ended; `errors` and `refusals` the evidence of these (`penstock.rollout.judge.weigh`), `bets` the
    wealth of the test of slowness (`bet`), `losses` what labels say. `slow_from` (seconds) is the champion's 99th percentile, `edges` quantiles of its
    scores where we read these ourselves, both None until enough of its answers were seen. Times are ISO 8601, UTC: the
    rollout's, and its stage's beginning.
    """

    model_config = ConfigDict(frozen=True)

    revision: str
    run: str
    plan: Rollout
    began: str
    since: str
    state: State = "under way"
    reason: str = ""
    stage: int = 0
    past: tuple[Stage, ...] = ()
    errors: tuple[float, ...] = NOTHING_SEEN
    refusals: tuple[float, ...] = NOTHING_SEEN
    bets: tuple[float, ...] = NO_BETS
    losses: Losses = Losses()
    slow_from: float | None = None
    edges: tuple[float, ...] | None = None

    @property
    def share(self) -> int:
        """The candidate's of requests, in percent; 0 in the shadow."""
        return self.plan.stages[self.stage]

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in _IN_COURSE


class SideStatus(BaseModel):
    """One side in the present stage; over the whole rollout its `p99`, in seconds, and how many `labels` came for it, with its mean
    `loss` by those that were compared. Both are None before the first.
    """

    model_config = ConfigDict(frozen=True)

    requests: int
    errors: int
    refusals: int
    p99: float | None
    labels: int = 0
    loss: float | None = None


class RolloutStatus(BaseModel):
    """A rollout in course, or the last one of a function and how it ended (`state`, `reason`).

    `share` is the candidate's of the requests, in percent: 0 in the shadow and after the end, 100 once promoted. The stage
    is the `stage`-th of `stages`, from 1, and lasts until the candidate has answered `least` requests.
    """

    model_config = ConfigDict(frozen=True)

    revision: str
    version: str
    run: str
    state: State
    reason: str
    share: int
    stage: int
    stages: int
    least: int
    began: str
    since: str
    candidate: SideStatus | None = None
    champion: SideStatus | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in _IN_COURSE

    @classmethod
    def of(
        cls, record: Record, candidate: SideStatus | None = None, champion: SideStatus | None = None
    ) -> RolloutStatus:
        """What a record tells, and of one in course what its sides do."""
        shares = {"promoted": 100, "worse": 0, "aborted": 0}
        return cls(
            revision=record.revision,
            version=record.revision[1:].rpartition("-")[0],
            run=record.run,
            state=record.state,
            reason=record.reason,
            share=shares.get(record.state, record.share),
            stage=record.stage + 1,
            stages=len(record.plan.stages),
            least=record.plan.least(record.stage),
            began=record.began,
            since=record.since,
            candidate=candidate,
            champion=champion,
        )
