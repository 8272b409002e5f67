"""Work: what a job is asked to do, and how it answers.

`python -m jobs.<stage> --request FILE --outcome FILE` is the contract: the same for a local process and a pod.
The request holds everything the job may know of the spec; the outcome is a small JSON file.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from penstock import keys
from penstock.errors import PenstockError
from penstock.results import Input


class Item(BaseModel):
    """One key's worth of work: a stage on one subject (`flights@2013-06-01`, or empty for the whole run)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str = ""
    spec: dict[str, Any]
    inputs: dict[str, Input] = {}
    salt: str | None = None
    key: str

    @classmethod
    def make(
        cls,
        stage: str,
        *,
        subject: str = "",
        spec: dict[str, Any],
        inputs: dict[str, Input],
        salt: str | None,
        code: str,
        environment: str,
    ) -> Item:
        """An item with the key that its stage, spec, inputs, code and environment give."""
        key = keys.stage_key(
            stage=stage,
            subject=subject,
            spec=spec,
            inputs={name: value.digest for name, value in inputs.items()},
            code=code,
            environment=environment,
            salt=salt,
        )
        return cls(subject=subject, spec=spec, inputs=inputs, salt=salt, key=key)


#: The variables by which a driver knows its own pod.
POD_NAME, POD_IP = "PENSTOCK_POD_NAME", "PENSTOCK_POD_IP"


class ExecutorPods(BaseModel):
    """Pods that a stage's Spark work is spread over where it has `above_rows` rows: at most `count`, each of `pod`.

    `pod` is a template in Kubernetes' JSON, whose container bears `container`'s name. Spark's own log of the work is
    kept below `events`, a path in the store, by the name `application`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    cpu: float
    memory: str
    above_rows: int
    namespace: str
    image: str
    container: str
    pod: dict[str, Any]
    application: str
    events: str


def application_of(stage: str, key: str) -> str:
    """How the name of Spark's application begins that makes a key."""
    return f"{stage}-{key[:12]}-"


def events_of(pipeline: str) -> str:
    """Where Spark's own logs of a pipeline's work on executors lie in the store."""
    return f"{pipeline}/_spark"


class Request(BaseModel):
    """What one job process does: the items of one stage that no earlier run has done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    pipeline: str
    run: str
    items: list[Item]
    cpu: float | None = None
    memory: str | None = None
    executors: ExecutorPods | None = None


class Outcome(BaseModel):
    """How a job ended: `done`, or the error with its kind (penstock.errors) and what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["done", "failed"]
    kind: str | None = None
    message: str | None = None
    next_step: str | None = None
    exit_code: int = 1

    @classmethod
    def unanswered(cls, stage: str, code: int, how: str) -> Outcome:
        """The end of a job that left no answer: its exit status still says the kind, as where the disk took no byte."""
        told = next((each for each in PenstockError.__subclasses__() if each.exit_code == code != 1), None)
        return cls(
            state="failed",
            kind=told.kind if told else "crashed",
            exit_code=code if told else 1,
            message=f"the job of stage {stage} ended {how} without an answer; its last lines in the task's log say more",
            next_step="read the log; if it is a defect of Penstock, report it with these lines",
        )
