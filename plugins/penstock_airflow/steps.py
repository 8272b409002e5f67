"""One step of the chain in a task, however its job is started: said in the log, and turned into the task's end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from penstock.chain import Chain, Start
from penstock.intervals import Interval
from penstock.record import Entry
from penstock_airflow.links import links_of

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Failures that another try may mend; the others would only fail again.
RETRYABLE = {
    "source-unavailable",
    "store",
    "killed",
    "crashed",
    "deploy",
    "target",
    "evicted",
    "lost",
    "quota",
}


def take(operator: Any, chain: Chain, context: Context, start: Start) -> dict[str, Any]:
    """Take the step of an operator's stage and interval; returns the entry's state, why and keys.

    Skips or fails the task where the step says so.
    """
    run = context["dag_run"].run_id
    entry = chain.step(run, operator.task_id, start, _interval(operator.interval, chain, run))
    operator.links = links_of(entry)
    operator.log.info("%s %s: %s", entry.name, entry.state, entry.why)
    for gate in entry.gates if entry.state == "reused" else []:  # a job has said it already
        operator.log.info(
            "gate %s %s: observed %s, required %s", gate.name, _said(gate), gate.observed, gate.required
        )
    raise_for(entry)
    return {"state": entry.state, "why": entry.why, "keys": [item.key for item in entry.items]}


def _interval(start: str | None, chain: Chain, run: str) -> Interval | None:
    if start is None:
        return None
    moment = datetime.fromisoformat(start)
    return next(each for each in chain.record(run).run.window if each.start == moment)


def raise_for(entry: Entry) -> None:
    """Raise what makes Airflow skip, fail or retry the task of an entry; nothing where the run goes on."""
    # A pipeline without suites has nothing to validate, and goes on.
    if entry.state == "skipped" and entry.stage != "validate":
        raise AirflowSkipException(entry.why)
    if entry.stage == "validate" and entry.state == "refused":
        raise AirflowFailException(entry.why)
    if entry.failure is not None:
        error: Callable[[str], Exception] = (
            AirflowException if entry.failure.kind in RETRYABLE else AirflowFailException
        )
        raise error(str(entry.failure))


def _said(gate: Any) -> str:
    return "is off" if gate.off else "passed" if gate.passed else "REFUSED"
