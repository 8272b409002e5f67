"""Spec to DAG: plan, collect and validate for each interval of the window, then the chain to deploy."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow.sdk import DAG, CronDataIntervalTimetable, conf, task_group

from penstock import intervals
from penstock.errors import SpecError
from penstock.spec.pipeline import Pipeline
from penstock.stages import CHAIN
from penstock_airflow.deadline import deadline_alert
from penstock_airflow.docs import doc_md
from penstock_airflow.operators import PlanOperator, StageOperator
from penstock_airflow.params import params

if TYPE_CHECKING:
    from penstock_airflow.pods import PodStageOperator


def operator(runner: str | None = None) -> type[StageOperator] | type[PodStageOperator]:
    """What starts the stages' jobs: as processes, or as pods. Airflow's configuration says which, where `runner` does not.

    Raises SpecError.
    """
    runner = runner or conf.get("penstock", "runner", fallback="process")
    if runner == "process":
        return StageOperator
    if runner == "kubernetes":
        # Here, as it takes seconds to import: those without a cluster need not wait for it.
        from penstock_airflow.pods import PodStageOperator

        return PodStageOperator
    raise SpecError(
        f"[penstock] runner is {runner!r} in Airflow's configuration: expected 'process' or 'kubernetes'",
        next_step="correct it, or remove it for processes",
    )


def build(pipeline: Pipeline) -> DAG:
    """The DAG of a pipeline; its id is the pipeline's name."""
    stage_operator = operator(pipeline.runner)
    with DAG(
        dag_id=pipeline.name,
        description=pipeline.problem.splitlines()[0],
        doc_md=doc_md(pipeline),
        schedule=CronDataIntervalTimetable(pipeline.cron, timezone="UTC") if pipeline.cron else None,
        start_date=pipeline.start,
        # Airflow compares the end with the *start* of an interval; the spec's end is the end of the data.
        end_date=intervals.newest_complete(pipeline, pipeline.end).start if pipeline.end else None,
        # Unpausing runs the newest interval only; `airflow backfill create --max-active-runs 1` runs the others.
        catchup=False,
        max_active_runs=1,
        params=params(pipeline),
        tags={"penstock", pipeline.task, *pipeline.tags},
        deadline=deadline_alert(pipeline),
        default_args={
            "owner": pipeline.owner,
            "retries": pipeline.retries,
            "retry_delay": timedelta(seconds=15),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=10),
        },
    ) as dag:
        plan = PlanOperator(task_id="plan", pipeline=pipeline)

        @task_group(group_id="data", prefix_group_id=False)
        def data(interval: str) -> None:
            tasks = [
                stage_operator(
                    task_id=stage.name,
                    pipeline=pipeline,
                    interval=interval,
                    map_index_template="{{ task.interval[:10] }}",
                )
                for stage in CHAIN
                if stage.per_interval
            ]
            for before, after in pairwise(tasks):
                before >> after

        last = data.expand(interval=plan.output)
        for stage in CHAIN:
            if not stage.per_interval:
                task = stage_operator(task_id=stage.name, pipeline=pipeline)
                last >> task
                last = task
    return dag
