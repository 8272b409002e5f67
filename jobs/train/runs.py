"""Training in MLflow: one run an attempt, one nested run a trial, both there to see while they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from jobs.common.job import Work

_PARENT = "mlflow.parentRunId"


class Runs:
    """The runs of one attempt. Runs that an earlier, killed attempt of the key left running are ended as KILLED."""

    def __init__(self, client: MlflowClient, experiment: str, work: Work, interval: str) -> None:
        self._client, self.experiment = client, experiment
        self._tags = {
            "penstock.stage": "train",
            "penstock.pipeline": work.request.pipeline,
            "penstock.key": work.item.key,
            "penstock.attempt": work.folder.rsplit("/", 1)[-1],
            "penstock.run": work.request.run,
            "penstock.interval": interval,
        }
        self._end_killed(work.item.key)
        made = client.create_run(experiment, tags=self._tags, run_name=f"train {interval}")
        self.parent: str = made.info.run_id

    def _end_killed(self, key: str) -> None:
        left = self._client.search_runs(
            [self.experiment],
            f"tags.`penstock.key` = '{key}' and tags.`penstock.stage` = 'train' and attributes.status = 'RUNNING'",
        )
        for run in left:
            self._client.set_terminated(run.info.run_id, "KILLED")

    def start_trial(self, number: int, params: Mapping[str, Any]) -> str:
        """Open the nested run of a trial; returns its id."""
        made = self._client.create_run(
            self.experiment, tags={**self._tags, _PARENT: self.parent}, run_name=f"trial {number}"
        )
        self._log(made.info.run_id, params, {})
        return str(made.info.run_id)

    def end_trial(self, run: str, metrics: Mapping[str, float], error: str | None) -> None:
        """Close a trial's run with what it found, or with why it failed."""
        self._log(run, {}, metrics)
        if error is not None:
            self._client.set_tag(run, "penstock.error", error[:4000])
        self._client.set_terminated(run, "FINISHED" if error is None else "FAILED")

    def end(
        self, params: Mapping[str, Any], metrics: Mapping[str, float], trials: list[dict[str, Any]]
    ) -> None:
        """Close the attempt's run with the chosen parameters and the holdout's metrics."""
        self._log(self.parent, params, metrics)
        self._client.log_dict(self.parent, {"trials": trials}, "trials.json")
        self._client.set_terminated(self.parent)

    def fail(self, error: BaseException) -> None:
        """Close the attempt's run as failed, saying why."""
        self._client.set_tag(self.parent, "penstock.error", str(error)[:4000])
        self._client.set_terminated(self.parent, "FAILED")

    def _log(self, run: str, params: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        import time

        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        self._client.log_batch(
            run,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)) for name, value in params.items()],
        )
