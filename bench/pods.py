"""What a stage costs as a pod, over its job's own time. `python -m bench.pods`, on the cluster that KUBECONFIG names.

Beside it, in the same namespace and by the same Airflow: a bare KubernetesPodOperator that runs `true`, with its
defaults, with a quick look at the start, and deferred. Then a hundred pods that sleep, waited for as stages are: what
the triggerer's memory grows by, and how many workers are busy.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psutil
from kubernetes import watch

from penstock.airflow_client import Airflow
from penstock.code import BuildRecord
from tests.cluster.stand import Cluster, Stand, busy_workers, service, temporary
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE
from tests.servers import until

TIMES, SLEEPING, STAGE = 5, 100, "deploy"
_BARE = '''
"""An Airflow DAG of bare pods."""
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from kubernetes.client import models as k8s
from penstock_airflow import shape

POD = dict(
    image={image!r}, namespace={namespace!r}, config_file={kube_config!r}, env_from=[], do_xcom_push=False,
    security_context=shape.POD_SECURITY, container_security_context=shape.CONTAINER_SECURITY,
    on_finish_action="delete_pod", automount_service_account_token=False,
    container_resources=k8s.V1ResourceRequirements(requests={{"cpu": "5m", "memory": "16Mi"}}, limits={{"memory": "64Mi"}}),
)
HOW = {{
    "defaults": {{}},
    "quick": {{"startup_check_interval_seconds": 1}},
    "deferred": {{"startup_check_interval_seconds": 1, "deferrable": True, "poll_interval": 1}},
}}
with DAG("bare", schedule=None):
    last = None
    for how, options in HOW.items():
        for number in range({times}):
            task = KubernetesPodOperator(task_id=f"{{how}}_{{number}}", name=f"bare-{{how}}", cmds=["true"], **POD, **options)
            if last is not None:
                last >> task
            last = task
with DAG("sleeping", schedule=None, max_active_tasks={sleeping}):
    KubernetesPodOperator.partial(
        task_id="sleep", name="sleep", cmds=["sleep"], logging_interval=5, startup_timeout_seconds=600, **POD, **HOW["deferred"]
    ).expand(arguments=[["1200"]] * {sleeping})
'''


@dataclass
class Clock:
    """When each pod was made, and how long its container ran, in seconds, by the kubelet's own times, which are whole seconds."""

    made: dict[str, float] = field(default_factory=dict)
    ran: dict[str, float] = field(default_factory=dict)

    def look(self, cluster: Cluster) -> None:
        """Follow what the cluster says of its pods."""
        for event in watch.Watch().stream(cluster.core.list_namespaced_pod, cluster.namespace):
            pod = event["object"]
            self.made.setdefault(pod.metadata.name, time.time())
            for container in pod.status.container_statuses or []:
                if ended := container.state.terminated:
                    self.ran[pod.metadata.name] = (ended.finished_at - ended.started_at).total_seconds()


def main() -> None:
    """Print the table."""
    with temporary() as it:
        clock = Clock()
        threading.Thread(target=clock.look, args=(it.cluster,), daemon=True).start()
        it.project.penstock("run", PIPELINE, "--airflow")
        airflow = _airflow(it.project)
        _add_bare(it)
        for how, seconds in _bare(airflow).items():
            print(f"bare pod, {how:9}                 {statistics.median(seconds):6.1f} s a task")
        found = [_stage(it, airflow, clock) for _ in range(TIMES)]
        # Their means, as the job's time is in whole seconds.
        whole, after = map(statistics.mean, zip(*found, strict=True))
        print(
            f"a stage, over its job's own time    {whole:6.1f} s a task, {after:.1f} s from when its pod is made"
        )
        before = len(it.cluster.started)
        it.project.penstock("run", PIPELINE, "--airflow")
        print(f"a run with nothing changed          {len(it.cluster.started) - before:6d} pods")
        _sleep(it, airflow)


def _airflow(project: Project) -> Airflow:
    password = json.loads((project.var / "airflow" / "passwords.json").read_text())["admin"]
    return Airflow(f"http://127.0.0.1:{project.environment['PENSTOCK_AIRFLOW_PORT']}", "admin", password)


def _add_bare(it: Stand) -> None:
    record = BuildRecord.model_validate_json(
        (it.project.root / "dags" / PIPELINE / "image.json").read_bytes()
    )
    (it.project.root / "dags" / "bare.py").write_text(
        _BARE.format(
            image=record.image,
            namespace=it.cluster.namespace,
            kube_config=it.project.environment["AIRFLOW__PENSTOCK__KUBE_CONFIG"],
            times=TIMES,
            sleeping=SLEEPING,
        )
    )


def _bare(airflow: Airflow) -> dict[str, list[float]]:
    """Seconds of each task, by how it waits."""
    run = _trigger(airflow, "bare")
    until(lambda: airflow.state("bare", run) in ("success", "failed"), 600)
    found: dict[str, list[float]] = {}
    for task in airflow.task_instances("bare", run):
        assert task["state"] == "success", task
        found.setdefault(task["task_id"].rpartition("_")[0], []).append(_seconds(task))
    return found


def _stage(it: Stand, airflow: Airflow, clock: Clock) -> tuple[float, float]:
    """What a stage's task took over its job: in all, and from when its pod was made."""
    before = set(it.cluster.started)
    answer = it.project.penstock("run", PIPELINE, "--airflow", "--force", STAGE)
    (pod,) = set(it.cluster.started) - before
    task = next(each for each in airflow.task_instances(PIPELINE, answer["run"]) if each["task_id"] == STAGE)
    ended = datetime.fromisoformat(task["end_date"]).timestamp()
    return _seconds(task) - clock.ran[pod], ended - clock.made[pod] - clock.ran[pod]


def _sleep(it: Stand, airflow: Airflow) -> None:
    """Print what a hundred pods in flight cost their watchers."""
    triggerer = service(it.project, "airflow-triggerer")
    before = _memory(triggerer)
    run = _trigger(airflow, "sleeping")

    def deferred() -> int:
        return sum(state == "deferred" for _, _, state in airflow.tasks("sleeping", run))

    until(lambda: deferred() == SLEEPING, 900)
    busy = [len(busy_workers(it.project)) for _ in _every(2, 15)]
    print(f"{SLEEPING} sleeping pods: triggerer {before:.0f} MB -> {_memory(triggerer):.0f} MB,", end=" ")
    print(f"busy workers: {statistics.mean(busy):.1f} (mean of {len(busy)} looks over 30 s)")


def _trigger(airflow: Airflow, dag: str) -> str:
    airflow.wait_for_dag(dag)
    airflow.unpause(dag)
    return airflow.trigger(dag, {})


def _seconds(task: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(task[name]) for name in ("start_date", "end_date"))
    return (ended - began).total_seconds()


def _memory(process: psutil.Process) -> float:
    """MB that a process and those below it have for themselves."""
    everyone = [process, *process.children(recursive=True)]
    return sum(each.memory_full_info().uss for each in everyone) / 1e6


def _every(seconds: float, times: int) -> Iterator[int]:
    for number in range(times):
        yield number
        time.sleep(seconds)


if __name__ == "__main__":
    main()
