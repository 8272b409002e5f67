"""How a new version takes over from the one that serves."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Rollout(BaseModel):
    """The plan: `shadow` requests are answered by the candidate too, for nobody to see; then it gets its share of requests,
    step by step, and after the last step all of them.

    `steps` are in percent. A step lasts until the candidate has answered `requests` and at least `minutes`. Tolerated is
    that the candidate fails at most `errors` times as often as the champion; that it is at most `slower` times as slow;
    that the distributions of scores are at most `scores` apart (Kolmogorov's distance, 0 to 1); and, where labels come, that its mean
    loss is at most `losses` times the champion's. `sticky` is the request header whose value decides who answers; without it each
    request is dealt by itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shadow: Annotated[int, Field(ge=0)] = 0
    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=100)], ...], Field(min_length=1)] = (5, 25, 50)
    requests: Annotated[int, Field(ge=1)] = 500
    minutes: Annotated[float, Field(ge=0, le=525_600)] = 10
    errors: Annotated[float, Field(ge=1, le=100)] = 1.5
    slower: Annotated[float, Field(ge=1, le=100)] = 1.5
    scores: Annotated[float, Field(ge=0, le=1)] = 0.1
    losses: Annotated[float, Field(ge=1, le=100)] = 1.1
    sticky: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] | None = None

    @field_validator("steps")
    @classmethod
    def _rising(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if any(before >= after for before, after in pairwise(steps)):
            raise ValueError("must rise from step to step, such as [5, 25, 50]; 100 at the end is understood")
        below = tuple(step for step in steps if step < 100)
        if not below:
            raise ValueError("has no step below 100; to switch at once, leave rollout out")
        return below

    @property
    def stages(self) -> tuple[int, ...]:
        """The candidate's share of traffic in percent, stage by stage; 0 is the shadow."""
        return (0, *self.steps) if self.shadow else self.steps

    def least(self, stage: int) -> int:
        """How many requests the candidate must have answered before that stage ends."""
        return self.requests if self.stages[stage] else self.shadow
