"""The two operators: plan a run, and take one step of the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from penstock import intervals, settings
from penstock.chain import Chain
from penstock.errors import PenstockError
from penstock.intervals import Interval
from penstock.record import Entry, RunOptions
from penstock.runner import ProcessRunner
from penstock.spec.pipeline import Pipeline
from penstock_airflow.connections import export_connections
from penstock_airflow.links import buttons, links_of

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Failures that another try may mend; the others would only fail again.
RETRYABLE = {"source-unavailable", "store", "killed", "crashed", "deploy", "target"}


class PlanOperator(BaseOperator):
    """Resolves the run's data interval and training window, and opens its record.

    Returns the names of the window's intervals (ISO starts), oldest first, for the mapped tasks.
    """

    ui_color = "#dbeafe"

    def __init__(self, *, pipeline: Pipeline, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline

    def execute(self, context: Context) -> list[str]:
        dag_run, params = context["dag_run"], context["params"]
        start, end = dag_run.data_interval_start, dag_run.data_interval_end
        try:
            interval = intervals.from_airflow(
                self.pipeline,
                {
                    "run_type": str(getattr(dag_run.run_type, "value", dag_run.run_type)),
                    "logical_date": dag_run.logical_date,
                    "run_after": dag_run.run_after,
                    "data_interval": (start, end) if start and end else None,
                    "asked": _date(params.get("date")),
                },
                datetime.now(UTC),
            )
            run = Chain(settings.load(), self.pipeline).plan(
                dag_run.run_id,
                interval,
                RunOptions(
                    force=params.get("force"),
                    trials=params.get("trials"),
                    note=params.get("note") or "",
                    since=_date(params.get("since")),
                ),
            )
        except PenstockError as error:
            raise AirflowFailException(str(error)) from error
        self.log.info("data interval %s, window %s", run.interval, ", ".join(map(str, run.window)))
        return [each.start.isoformat() for each in run.window]


class StageOperator(BaseOperator):
    """Takes one step of the chain: reuses what is there, else starts the stage's job and streams its log.

    The decision to reuse is made here, before any process (or pod) exists.
    """

    ui_color = "#dcfce7"
    template_fields: Sequence[str] = ("interval",)

    def __init__(self, *, pipeline: Pipeline, interval: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.interval = interval
        self.operator_extra_links = buttons(pipeline, self.task_id)
        self.links: Mapping[str, str] = {}
        self._runner: ProcessRunner | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """The entry's state, why and keys; skips or fails the task where the step says so."""
        here = settings.load()
        chain = Chain(here, self.pipeline)
        run = context["dag_run"].run_id
        if self.task_id == "collect":
            export_connections(self.pipeline, here.var)
        self._runner = ProcessRunner(here, self.log.info)
        entry = chain.step(run, self.task_id, self._runner, self._interval(chain, run))
        self.links = links_of(entry)
        self.log.info("%s %s: %s", entry.name, entry.state, entry.why)
        for gate in entry.gates if entry.state == "reused" else []:  # a job has said it already
            self.log.info(
                "gate %s %s: observed %s, required %s", gate.name, _said(gate), gate.observed, gate.required
            )
        _raise_for(entry)
        return {"state": entry.state, "why": entry.why, "keys": [item.key for item in entry.items]}

    def on_kill(self) -> None:
        if self._runner is not None:
            self._runner.stop()

    def _interval(self, chain: Chain, run: str) -> Interval | None:
        if self.interval is None:
            return None
        start = datetime.fromisoformat(self.interval)
        return next(each for each in chain.record(run).run.window if each.start == start)


def _raise_for(entry: Entry) -> None:
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


def _date(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
