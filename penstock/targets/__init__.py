"""Where functions run: one small interface for every platform, and the table of those there are."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict

from penstock.errors import DeployError
from penstock.rollout.record import Action, RolloutStatus
from penstock.spec.function import Function
from penstock.spec.rollout import Rollout


class TargetError(DeployError):
    """A target refused a request, or could not be reached.

    `status` is the HTTP status that the target answered with, None when it did not answer.
    """

    kind = "target"

    def __init__(self, message: str, *, next_step: str | None = None, status: int | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.status = status


class RevisionStatus(BaseModel):
    """One immutable revision of a function.

    `state` is `ready`, `idle` (live, without a process until it is asked), `starting`, `backoff` (it crashed and will be
    started again), `draining` (answers its last requests) or `stopped` (on disk only). `error` is why it is not ready, or why
    it was last restarted.
    """

    model_config = ConfigDict(frozen=True)

    revision: str
    version: str
    state: str
    restarts: int = 0
    error: str | None = None


class TriggerStatus(BaseModel):
    """What starts a function on events: its name on the target, whose `feed` fires it (None: anybody), and whether it is on.

    `fault` is why its last event did not come to the function, which whoever fires it is not told.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    feed: str | None
    active: bool
    fault: str | None = None


class Activity(BaseModel):
    """What a function was asked last, as its platform has it on record: `requests` from `since` (ISO 8601, UTC) on.

    `failed` of them, and `refused` as something was wrong with a record; half of them took up to `p50_ms`, and 99 of 100 `p99_ms`.
    """

    model_config = ConfigDict(frozen=True)

    requests: int
    since: str
    failed: int
    refused: int
    p50_ms: float
    p99_ms: float


class Status(BaseModel):
    """A function on a target: `url` is its live name, `live` the revision behind it, `since` when that began (ISO).

    `web` is where it answers without a key of the platform, if anywhere; `triggers` start it. `differs` tells what is there otherwise than the spec
    declares; deploying mends it. `lost` tells what of it somebody took away or changed by hand, so that callers may not get the
    live revision; deploying mends that, too. `rollout` is the one in course, else the last one.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    url: str
    live: str | None
    since: str | None
    revisions: tuple[RevisionStatus, ...]
    web: str | None = None
    triggers: tuple[TriggerStatus, ...] = ()
    differs: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    rollout: RolloutStatus | None = None

    @property
    def serving(self) -> RevisionStatus | None:
        """The revision behind the live name; None where nothing is live."""
        return next((each for each in self.revisions if each.revision == self.live), None)


class Target(Protocol):
    """A platform that holds immutable revisions of functions behind live names.

    It moves traffic to a new revision step by step, and takes it back where that is worse: how far it is, and how it ended, is in
    `Status.rollout`. The function host goes on by itself; on other platforms, which nobody of ours watches, whoever follows takes the
    steps. Every method raises TargetError, whose message says what the platform found wrong.
    """

    def prepare(self) -> None:
        """Make the platform able to take a package, where that is ours to do (the embedded host is started)."""

    def put(self, package: Path) -> str:
        """Upload the function package in folder `package`; return its revision once it has proved itself there."""

    def route(self, name: str, revision: str) -> None:
        """Send all traffic of the live name to `revision`; on failure the old one goes on serving."""

    def roll_out(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        """Begin to move traffic of the live name to `revision`, which was put.

        `run` names whoever begins it: asked again by the same, the rollout goes on, or stays ended as it did. Raises
        TargetError: 409 where nothing is live yet, where that revision is, or where another is being rolled out; 422 where
        the platform cannot have the plan.
        """

    def take_step(self, name: str) -> Status:
        """Judge the rollout in course, and do what follows, unless that is done already; what there is then.

        It may be asked at any time, and by several at once.
        """

    def steer(self, name: str, action: Action) -> Status:
        """Do that to the rollout in course. Raises TargetError, 409 where there is none."""

    def attach(self, name: str) -> None:
        """Have events start the live name as is declared, and by no others, where the platform knows events."""

    def invoke(self, name: str, payload: Any) -> Any:
        """The live revision's answer to the JSON value `payload`."""

    def serving(self, name: str) -> str:
        """The revision that answers behind the live name, as seen from an answer and not from a record."""

    def status(self, name: str) -> Status:
        """What the target knows of the function."""

    def curl(self, url: str) -> str:
        """The command that asks the live name at `url`, but for its header and record; it shows no secret."""

    def logs(self, name: str, lines: int = 100) -> list[str]:
        """The last `lines` lines that the function printed."""

    def remove(self, name: str) -> None:
        """Take the function and all its revisions away; a function that is not there is no error."""


@runtime_checkable
class Recording(Protocol):
    """A target whose platform keeps a record of each request."""

    def activity(self, name: str) -> Activity | None:
        """What the function was asked last; None where it was asked nothing. Raises TargetError."""


_TARGETS: Final = {
    "embedded": "penstock.targets.embedded:open_embedded",
    "knative": "penstock.targets.serverless.target:open_knative",
    "kserve": "penstock.targets.serverless.target:open_kserve",
    "kubernetes": "penstock.targets.kubernetes.target:open_kubernetes",
    "openwhisk": "penstock.targets.openwhisk.target:open_openwhisk",
}


def open_target(function: Function, state_dir: Path) -> Target:
    """The target of a function as it is declared, which keeps what it must remember in `state_dir`. Raises TargetError."""
    module, _, attribute = _TARGETS[function.target].partition(":")
    return cast(Target, getattr(import_module(module), attribute)(function, state_dir))
