"""The part of a declaration that says how the live function is: what it answers, where it runs, and who asks it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from penstock.runtimes import Kind
from penstock.spec import schedule as schedules
from penstock.spec.durations import Duration
from penstock.spec.rollout import Rollout
from penstock.spec.sources import NAME

#: The model among the steps of its function.
SCORE = "score"


class Trigger(BaseModel):
    """What starts a function on an event: the time, by a `cron` expression (UTC), with the `payload` that the function is asked
    then; or a `feed` of OpenWhisk's, by its action's path and `parameters`; or neither, for whoever fires the trigger.

    `payload` is what each event has beside its own. `secrets` are parameters whose values are in environment variables of these
    names, where stages run and where `penstock` does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cron: str | None = None
    feed: Annotated[str, Field(pattern=r"^/[\w.@-]+(/[\w.@-]+){1,2}$")] | None = None
    parameters: dict[str, JsonValue] = {}
    secrets: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = {}
    payload: dict[str, JsonValue] = {}

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, cron: str | None) -> str | None:
        if cron is not None and not schedules.is_schedule(cron):
            raise ValueError("is no cron expression; allowed: five cron fields, or a preset such as @daily")
        return cron

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.cron is not None and self.feed is not None:
            raise ValueError("has cron and feed; allowed: one of them, or neither")
        if self.cron is not None and not self.payload:
            raise ValueError("has cron, and no payload: say what the function is asked each time")
        if self.feed is None and (self.parameters or self.secrets):
            raise ValueError("has parameters or secrets, which are a feed's, and names none")
        if both := sorted(self.parameters.keys() & self.secrets.keys()):
            raise ValueError(f"has {', '.join(both)} in both parameters and secrets")
        return self


class Function(BaseModel):
    """The live function: its name (the pipeline's by default), where it runs, as which kind of bundle, what it answers, which
    share is logged, and how long that is kept (None: for ever).

    `steps` are the user's own around the model, in their order; SCORE among them is the model. On OpenWhisk they are a `chain`:
    actions of their own in a sequence, or with the model in one process, as they are everywhere else. `web` lets who has
    the function's own secret ask it there, without a key of the namespace; `triggers`, by name, start it on events. With a
    `rollout` a new version takes over step by step; without one at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)] | None = None
    target: Literal["embedded", "knative", "kserve", "kubernetes", "openwhisk"] = "embedded"
    bundle: Kind = "onnx"
    output: Literal["probability", "prediction"] | None = None
    log: Annotated[float, Field(ge=0, le=1)] = 0
    keep_log: Duration | None = Duration(days=90)
    steps: list[Annotated[str, Field(pattern=NAME)]] = [SCORE]
    chain: Literal["sequence", "process"] = "sequence"
    web: bool = False
    triggers: dict[Annotated[str, Field(pattern=NAME)], Trigger] = {}
    rollout: Rollout | None = None

    @field_validator("steps")
    @classmethod
    def _around_the_model(cls, steps: list[str]) -> list[str]:
        if steps.count(SCORE) != 1:
            raise ValueError(f"{SCORE!r}, which is the model, must be among them, once")
        if twice := sorted({name for name in steps if steps.count(name) > 1}):
            raise ValueError(f"given twice: {', '.join(twice)}; a step may stand there once")
        return steps

    @model_validator(mode="after")
    def _where_there_is_such(self) -> Self:
        asked = [word for word in ("web", "triggers") if getattr(self, word)]
        if asked and self.target != "openwhisk":
            go = "go" if len(asked) > 1 else "goes"
            raise ValueError(
                f"{' and '.join(asked)} {go} with target 'openwhisk'; the target is {self.target!r}"
            )
        return self

    @property
    def own_steps(self) -> list[str]:
        """The steps less the model: folders below steps/."""
        return [name for name in self.steps if name != SCORE]
