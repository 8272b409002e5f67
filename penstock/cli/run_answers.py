"""What is said of a run: stages, gates, version and failure, read from its record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from penstock.cli.answers import Answer, GateAnswer, Part
from penstock.errors import GateRefused
from penstock.intervals import Interval
from penstock.record import Failure, RunState
from penstock.results import State

if TYPE_CHECKING:
    from penstock.record import Record


class StageAnswer(Part):
    """What one stage did in a run; one that never began is skipped."""

    name: str = Field(description="the stage, with its data interval where it has one: collect@2013-06-01")
    state: State
    key: str | None = Field(
        description="the key of its output; several (one a source) are joined by commas; null where it has none"
    )
    seconds: float
    why: str


class RunAnswer(Answer):
    """How a run ended."""

    run: str = Field(description="the run's id")
    pipeline: str
    interval: Interval = Field(description="its data interval, [start, end) in UTC")
    state: RunState = Field(description="refused: ended well, and the champion goes on serving")
    stages: list[StageAnswer] = Field(description="all of the chain, in its order")
    gates: list[GateAnswer]
    version: str | None = Field(description="the registered version that the run made or found again")
    url: str | None = Field(description="the live function, where this run's version serves")
    curl: str | None = Field(
        description="a request to that function with a row of its holdout, ready to paste"
    )
    failure: Failure | None = Field(description="why the run failed, where it did")
    log: str | None = Field(description="the file with what the jobs printed; null for a run by Airflow")

    @classmethod
    def of(cls, record: Record, *, curl: str | None, log: str | None) -> RunAnswer:
        """The answer that a run's record gives."""
        return cls(
            run=record.run.run,
            pipeline=record.run.pipeline,
            interval=record.run.interval,
            state=record.state,
            stages=list(_stages(record)),
            gates=[GateAnswer.of(entry.name, gate) for entry in record.entries for gate in entry.gates],
            version=_fact(record, "register", "version"),
            url=_fact(record, "deploy", "url"),
            curl=curl,
            failure=_failure(record),
            log=log,
        )

    @property
    def exit_status(self) -> int:
        return self.failure.exit_code if self.failure else 0


class RunsAnswer(Answer):
    """How the runs of `--from … --to …` ended, oldest interval first, up to the first that failed."""

    runs: list[RunAnswer]

    @property
    def exit_status(self) -> int:
        return next((run.exit_status for run in self.runs if run.exit_status), 0)


def _stages(record: Record) -> Iterator[StageAnswer]:
    """Every step of the chain, in its order; one that the run never came to is skipped."""
    last = next((entry.name for entry in record.entries if entry.ends_run), None)
    for name in record.run.steps:
        entry = record.entry(name)
        if entry is None:
            why = f"never began: the run ended at {last}" if last else "never began"
            yield StageAnswer(name=name, state="skipped", key=None, seconds=0.0, why=why)
        else:
            key = ",".join(item.key for item in entry.items) or None
            yield StageAnswer(name=name, state=entry.state, key=key, seconds=entry.seconds, why=entry.why)


def _fact(record: Record, stage: str, name: str) -> str | None:
    entry = record.entry(stage)
    return str(entry.summary[name]) if entry and name in entry.summary else None


def _failure(record: Record) -> Failure | None:
    for entry in record.entries:
        if entry.failure is not None:
            return entry.failure
        if entry.stage == "validate" and entry.state == "refused":
            steps = "; ".join(dict.fromkeys(gate.next_step for gate in entry.gates if not gate.passed))
            return Failure(
                kind=GateRefused.kind,
                message=f"{entry.name}: {entry.why}",
                next_step=steps or None,
                exit_code=GateRefused.exit_code,
            )
    return None
