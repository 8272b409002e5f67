"""Run notes: when a run ends, its note says the verdict, so that the list of runs can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from penstock import settings
from penstock.record import Record, Runs
from penstock.store import Store

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    _note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    _note(dag_run)


def _note(dag_run: Any) -> None:
    record = Runs(Store(settings.load().store)).read(dag_run.dag_id, dag_run.run_id)
    if record is not None:
        dag_run.note = verdict(record)


def verdict(record: Record) -> str:
    """A run's end in a few lines: its state, the version, and what refused or failed it."""
    lines = [f"{record.state}: interval {record.run.interval}"]
    registered = record.entry("register")
    if registered is not None and "version" in registered.summary:
        lines[0] += f", version {registered.summary['version']}"
    lines += [f"{entry.name} failed: {entry.failure}" for entry in record.entries if entry.failure]
    lines += [f"gate {gate.name} refused: {gate.why}" for gate in record.gates if not gate.passed]
    if record.run.note:
        lines.append(record.run.note)
    return "\n".join(lines)
