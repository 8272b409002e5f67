"""Run notes: when a run ends, its note says the verdict, so that the list of runs can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from penstock import settings
from penstock.record import Record, Runs
from penstock.store import Store

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

#: What Airflow's column holds (airflow.models.dagrun.DagRunNote), in characters.
NOTE_LENGTH = 1000
#: Begins each of our lines: all others are people's.
_OURS = "▸"


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    _note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    _note(dag_run)


def _note(dag_run: Any) -> None:
    record = Runs(Store(settings.load().store)).read(dag_run.dag_id, dag_run.run_id)
    if record is not None:
        dag_run.note = noted(dag_run.note or "", record)


def noted(note: str, record: Record) -> str:
    """A run's note with its verdict below what people wrote, which stays; an earlier verdict makes way.

    A verdict for which there is no room is cut, and ends with an ellipsis.
    """
    theirs = "\n".join(line for line in note.splitlines() if not line.startswith(_OURS)).strip()
    lines = verdict(record)
    if record.run.note.strip() not in theirs:
        lines.append(record.run.note)
    above = f"{theirs}\n\n" if theirs else ""
    ours = "\n".join(f"{_OURS} {' '.join(line.split())}" for line in lines)
    room = NOTE_LENGTH - len(above)
    if len(ours) > room:
        ours = f"{ours[: room - 1].rstrip()}…" if room > len(_OURS) else ""
    return (above + ours).rstrip()


def verdict(record: Record) -> list[str]:
    """A run's end in a few lines: its state, the version, and what refused or failed it."""
    lines = [f"{record.state}: interval {record.run.interval}"]
    registered = record.entry("register")
    if registered is not None and "version" in registered.summary:
        lines[0] += f", version {registered.summary['version']}"
    lines += [f"{entry.name} failed: {entry.failure}" for entry in record.entries if entry.failure]
    lines += [f"gate {gate.name} refused: {gate.why}" for gate in record.gates if not gate.passed]
    return lines
