"""What a stage leaves behind: its gates' verdicts and its result, as values that are written to JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["ran", "reused", "refused", "skipped", "failed"]


class GateResult(BaseModel):
    """One gate's verdict: what was seen, what was required, why, and what to do about it.

    `off` marks a gate that the spec switched off, or the data gate of a source without a suite: it passes, and says
    so wherever it is shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    passed: bool
    observed: str
    required: str
    why: str
    next_step: str = ""
    off: bool = False


class Input(BaseModel):
    """An input of a stage: where it lies in the store, and the digest of its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    digest: str


class StageResult(BaseModel):
    """`_result.json`: written last and once, it makes its attempt the key's one and only output.

    `summary` holds small facts (rows, metrics, versions) for people and for the stages that follow;
    `outputs` the names of what lies beside it in the attempt's folder; `spec`, `inputs`, `salt` and the digests in
    `made_by` are what its key was made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    pipeline: str
    stage: str
    subject: str
    key: str
    attempt: str
    digest: str
    state: Literal["ran", "refused", "skipped"]
    outputs: list[str] = []
    spec: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    gates: list[GateResult] = []
    inputs: dict[str, Input] = {}
    salt: str | None = None
    started: str
    seconds: float
    made_by: dict[str, str] = {}

    @property
    def path(self) -> str:
        """The attempt's folder, relative to the store."""
        return f"{self.pipeline}/{self.stage}/{self.key}/{self.attempt}"

    def as_input(self) -> Input:
        return Input(path=self.path, digest=self.digest)
