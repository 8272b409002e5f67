"""The two operators: plan a run, and take one step of the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from penstock import intervals, settings
from penstock.chain import Chain
from penstock.errors import PenstockError
from penstock.record import RunOptions
from penstock.runner import ProcessRunner
from penstock.spec.pipeline import Pipeline
from penstock_airflow.connections import export_connections
from penstock_airflow.links import buttons
from penstock_airflow.steps import take

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        if self.task_id == "collect":
            export_connections(self.pipeline, here.var)
        self._runner = ProcessRunner(here, self.log.info)
        return take(self, Chain(here, self.pipeline), context, self._runner)

    def on_kill(self) -> None:
        if self._runner is not None:
            self._runner.stop()


def _date(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
