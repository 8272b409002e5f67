"""A run's record in the store: what each stage did and why, readable when Airflow is down.

`{pipeline}/_runs/{run}/run.json` and one `{stage}.json` a stage (`{stage}@{interval}.json` where a stage has
one task an interval). One file a stage, as stages of a run end side by side and a store has no append.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict

from penstock.intervals import Interval
from penstock.results import GateResult, State
from penstock.stages import CHAIN
from penstock.store import Store


@dataclass(frozen=True)
class RunOptions:
    """What a person may ask of a run beyond its date; every field's default is what the schedule asks."""

    #: A stage to do anew although nothing that it rests on changed: a recorded salt in its key.
    force: str | None = None
    #: Parameter sets to try instead of the spec's.
    trials: int | None = None
    note: str = ""
    #: Where the training window starts, instead of where the spec's `window` does.
    since: datetime | None = None


class Run(BaseModel):
    """What a run was asked to do: written once, before its first stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    pipeline: str
    interval: Interval
    window: list[Interval]
    force: str | None = None
    trials: int | None = None
    note: str = ""
    started: datetime

    @property
    def steps(self) -> list[str]:
        """The names of all entries that it may come to have, in the chain's order."""
        return [
            name
            for stage in CHAIN
            for name in (
                [f"{stage.name}@{each}" for each in self.window] if stage.per_interval else [stage.name]
            )
        ]


class ItemEntry(BaseModel):
    """One key of a stage in a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    key: str
    path: str
    state: State


class Failure(BaseModel):
    """Why a stage failed: kind and exit code (penstock.errors), message and what to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    message: str
    next_step: str | None = None
    exit_code: int = 1

    def __str__(self) -> str:
        return f"{self.message}. To do: {self.next_step}" if self.next_step else self.message


class Entry(BaseModel):
    """What one stage (of one interval) did in a run, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    interval: Interval | None = None
    state: State
    why: str
    items: list[ItemEntry] = []
    summary: dict[str, Any] = {}
    gates: list[GateResult] = []
    failure: Failure | None = None
    seconds: float = 0.0
    ended: datetime

    @property
    def name(self) -> str:
        return f"{self.stage}@{self.interval}" if self.interval else self.stage

    @property
    def ends_run(self) -> bool:
        """Whether the run takes no step after this one. A refused model goes on: deploy then says that it is skipped."""
        ends = (("collect", "skipped"), ("validate", "refused"))
        return self.state == "failed" or (self.stage, self.state) in ends


#: `interrupted`: its process is gone, and the record cannot know it (penstock.local.state).
RunState = Literal["running", "interrupted", "succeeded", "refused", "skipped", "failed"]


class Record(BaseModel):
    """A run with its entries, in the chain's order."""

    model_config = ConfigDict(frozen=True)

    run: Run
    entries: list[Entry]

    @property
    def state(self) -> RunState:
        """`refused` is a run that ended well with its model refused, by a gate or by its rollout; data that fails its gate is `failed`."""
        states = {entry.name: entry.state for entry in self.entries}
        if any(
            entry.state == "failed" or (entry.stage == "validate" and entry.state == "refused")
            for entry in self.entries
        ):
            return "failed"
        if "refused" in (states.get("validate_model"), states.get("deploy")):
            return "refused"
        if any(entry.stage == "collect" and entry.state == "skipped" for entry in self.entries):
            return "skipped"
        return "succeeded" if "deploy" in states else "running"

    def entry(self, stage: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.name == stage), None)

    @property
    def gates(self) -> list[GateResult]:
        return [gate for entry in self.entries for gate in entry.gates]


def folder_of(pipeline: str, run: str) -> str:
    """Where a run's records lie in the store."""
    return f"{pipeline}/_runs/{quote(run, safe='')}"


def jobs_of(pipeline: str, run: str) -> str:
    """Where requests to the pods of a run lie, and their outcomes: a folder a pod."""
    return f"{folder_of(pipeline, run)}/jobs"


class Runs:
    """The records of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, run: Run) -> Run:
        """Write a new run's record; where the run is there already, its first record holds."""
        path = f"{folder_of(run.pipeline, run.run)}/run.json"
        if self._store.create_json(path, run.model_dump(mode="json")):
            return run
        return Run.model_validate(self._store.read_json(path))

    def write(self, run: Run, entry: Entry) -> Entry:
        path = f"{folder_of(run.pipeline, run.run)}/{entry.name}.json"
        self._store.write_json(path, entry.model_dump(mode="json"))
        return entry

    def read(self, pipeline: str, run: str) -> Record | None:
        folder = folder_of(pipeline, run)
        value = self._store.read_json(f"{folder}/run.json")
        if value is None:
            return None
        files = [name for name in self._store.names(folder) if name.endswith(".json") and name != "run.json"]
        entries = [
            Entry.model_validate(written)
            for name in files
            if not name.startswith(".") and (written := self._store.read_json(f"{folder}/{name}")) is not None
        ]
        order = {stage.name: number for number, stage in enumerate(CHAIN)}
        entries.sort(key=lambda entry: (order[entry.stage], entry.name))
        return Record(run=Run.model_validate(value), entries=entries)

    def all(self, pipeline: str) -> list[Record]:
        """Every run of a pipeline, the newest first."""
        records = [self.read(pipeline, name) for name in self._names(pipeline)]
        return sorted(filter(None, records), key=lambda record: record.run.started, reverse=True)

    def pipelines(self) -> list[str]:
        return [name for name in self._store.names("") if not name.startswith(("_", "."))]

    def delete(self, pipeline: str, run: str) -> None:
        self._store.remove(folder_of(pipeline, run))

    def _names(self, pipeline: str) -> list[str]:
        return [unquote(name) for name in self._store.names(f"{pipeline}/_runs")]


def now() -> datetime:
    return datetime.now(UTC)
