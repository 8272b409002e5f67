"""The part of a declaration that says how the live function is: what it answers, where it runs, and who asks it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from penstock.runtimes import Kind
from penstock.spec.durations import Duration
from penstock.spec.sources import NAME

#: The model among the steps of its function.
SCORE = "score"


class Function(BaseModel):
    """The live function: its name (the pipeline's by default), where it runs, as which kind of bundle, what it answers, which
    share is logged, and how long that is kept (None: for ever).

    `steps` are the user's own around the model, in their order; SCORE among them is the model. On OpenWhisk they are a `chain`:
    actions of their own in a sequence, or with the model in one process, as they are everywhere else. `web` lets who has
    the function's own secret ask it there, without a key of the namespace.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)] | None = None
    target: Literal["embedded", "openwhisk"] = "embedded"
    bundle: Kind = "onnx"
    output: Literal["probability", "prediction"] | None = None
    log: Annotated[float, Field(ge=0, le=1)] = 0
    keep_log: Duration | None = Duration(days=90)
    steps: list[Annotated[str, Field(pattern=NAME)]] = [SCORE]
    chain: Literal["sequence", "process"] = "sequence"
    web: bool = False

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
        if self.web and self.target != "openwhisk":
            raise ValueError(f"web is for target 'openwhisk'; the target is {self.target!r}")
        return self

    @property
    def own_steps(self) -> list[str]:
        """The steps less the model: folders below steps/."""
        return [name for name in self.steps if name != SCORE]
