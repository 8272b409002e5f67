"""A run by Airflow, asked for and followed over its REST API (v2), told like a run in this terminal.

What the stages did is read from the run's record in the store; Airflow says when the run ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

from penstock import services
from penstock.errors import Interrupted, PenstockError, StoreError
from penstock.record import Record
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.chain import Chain
    from penstock.local import Watch

_POLL_SECONDS = 1.0
#: A DAG that was written just now is parsed within 10 s of the next look into the folder (penstock.services).
_PARSE_SECONDS = 60.0


class AirflowError(PenstockError):
    """Airflow does not run, refused a request, or its run failed before a stage could say why."""

    kind = "airflow"


def run(chain: Chain, params: Mapping[str, Any], watch: Watch) -> Record:
    """Trigger the pipeline's DAG with the trigger form's `params`, and follow the run to its end.

    Keys of `params`: date, since (YYYY-MM-DD or None), force, trials, note. Raises AirflowError where Airflow does
    not run or the run failed without a record; Interrupted when this process was told to stop (the run goes on).
    """
    name = chain.pipeline.name
    airflow = Airflow.of(chain.settings)
    paused = airflow.wait_for_dag(name)
    run_id = airflow.trigger(name, params)
    if paused:  # after the trigger, so that this run comes before the schedule's own
        airflow.unpause(name)
    try:
        return _follow(airflow, chain, run_id, watch)
    except KeyboardInterrupt:
        raise Interrupted(
            f"run {run_id} of {name} is not followed any more; it goes on in Airflow",
            next_step=f"see {airflow.run_url(name, run_id)}, or `penstock explain {run_id}` when it has ended",
        ) from None


class Airflow:
    """Airflow's API server, as the user with this login."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        # The environment's proxies are for the world outside, not for loopback.
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30.0)
        answer = self._call("POST", "/auth/token", json={"username": user, "password": password})
        self._client.headers["Authorization"] = f"Bearer {answer['access_token']}"

    @classmethod
    def of(cls, settings: Settings) -> Airflow:
        """The one of this installation. Raises AirflowError where it does not run."""
        if not services.running(settings):
            raise AirflowError("Airflow is not running here", next_step="start it with `penstock up`")
        passwords = json.loads((settings.airflow_home / "passwords.json").read_text())
        return cls(services.airflow_url(), "admin", passwords["admin"])

    def wait_for_dag(self, dag: str) -> bool:
        """Wait until Airflow has parsed the DAG; returns whether it is paused. Raises AirflowError."""
        deadline = time.monotonic() + _PARSE_SECONDS
        while True:
            try:
                return bool(self._call("GET", f"/api/v2/dags/{dag}")["is_paused"])
            except _NotFound:
                if time.monotonic() > deadline:
                    raise AirflowError(
                        f"Airflow knows no DAG {dag!r}{self._import_error(dag)}",
                        next_step=f"`penstock check {dag}` says what is wrong with it",
                    ) from None
                time.sleep(_POLL_SECONDS)

    def unpause(self, dag: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{dag}", json={"is_paused": False})

    def trigger(self, dag: str, params: Mapping[str, Any]) -> str:
        """Start a run by hand; returns its id."""
        body = {"logical_date": None, "conf": dict(params), "note": params.get("note") or None}
        return str(self._call("POST", f"/api/v2/dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def state(self, dag: str, run: str) -> str:
        """queued, running, success or failed."""
        return str(self._call("GET", f"/api/v2/dags/{dag}/dagRuns/{quote(run)}")["state"])

    def tasks(self, dag: str, run: str) -> list[tuple[str, int, str]]:
        """Task id, index in its mapped group (-1 without one) and state of each task of a run."""
        return [(each["task_id"], each["map_index"], each["state"]) for each in self.task_instances(dag, run)]

    def task_instances(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Each task of a run, as Airflow's API has it."""
        path = f"/api/v2/dags/{dag}/dagRuns/{quote(run)}/taskInstances"
        return list(self._call("GET", path, params={"limit": 500})["task_instances"])

    def run_url(self, dag: str, run: str) -> str:
        """The run's page for a person."""
        return f"{self.url}/dags/{dag}/runs/{quote(run)}"

    def _import_error(self, dag: str) -> str:
        errors = self._call("GET", "/api/v2/importErrors")["import_errors"]
        mine = [error["stack_trace"] for error in errors if f"{dag}/" in error["filename"]]
        return f": {mine[0].strip().splitlines()[-1]}" if mine else f" after {_PARSE_SECONDS:g} s"

    def _call(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            raise AirflowError(
                f"Airflow at {self.url} did not answer {method} {path}: {error or type(error).__name__}",
                next_step="see var/logs/airflow-api-server.log, or start it again: penstock down, penstock up",
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise _NotFound(f"Airflow at {self.url} knows no {path}")
        if not answer.is_success:
            raise AirflowError(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()


class _NotFound(AirflowError):
    pass


def _follow(airflow: Airflow, chain: Chain, run_id: str, watch: Watch) -> Record:
    told = _Told(watch)
    name = chain.pipeline.name
    while True:
        state = airflow.state(name, run_id)
        with suppress(StoreError):  # the run itself waits for the store to come back
            record = chain.runs.read(name, run_id)
            if record is not None:
                told.tell(record, airflow.tasks(name, run_id))
        if state in ("success", "failed"):
            break
        time.sleep(_POLL_SECONDS)
    record = chain.runs.read(name, run_id)
    if record is None or (state == "failed" and record.state in ("running", "succeeded", "refused")):
        failed = [
            f"{task}[{index}]" if index >= 0 else task
            for task, index, how in airflow.tasks(name, run_id)
            if how == "failed"
        ]
        raise AirflowError(
            f"run {run_id} of {name} failed in Airflow at {', '.join(failed) or 'no task'}, and no stage said why",
            next_step=f"read that task's log at {airflow.run_url(name, run_id)}",
        )
    told.tell(record, [])
    return record


class _Told:
    """What the watch was told already, so that each thing is told once (and again where a task was retried)."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._planned = False
        self._began: set[str] = set()
        self._ended: dict[str, Any] = {}

    def tell(self, record: Record, tasks: list[tuple[str, int, str]]) -> None:
        if not self._planned:
            self._planned = True
            self._watch.planned(record.run)
        for task, index, state in tasks:
            name = f"{task}@{record.run.window[index]}" if index >= 0 else task
            if state == "running" and name not in self._began and task != "plan":
                self._began.add(name)
                self._watch.began(name)
        for entry in record.entries:
            if self._ended.get(entry.name) != entry.ended:
                self._ended[entry.name] = entry.ended
                self._began.discard(entry.name)
                self._watch.ended(entry)
