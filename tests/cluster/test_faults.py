"""What a run rests on is killed or gone for a while, at each stage: it ends as an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
from kubernetes import client

from penstock.registry import Registry
from penstock.stages import STAGES
from tests.cluster.stand import Cluster, busy_workers, service, spread
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE, ROW
from tests.servers import S3, until

#: How long the API server and the store are away.
AWAY = 30
#: The program that stops and starts parts of the cluster: `PROGRAM kill apiserver`, `PROGRAM up`.
CONTROL = "PENSTOCK_CLUSTER_CONTROL"

Fault = Callable[[Project, Cluster, S3, str], None]


def pod(project: Project, cluster: Cluster, s3: S3, stage: str) -> None:
    """The stage's pod, a driver's too, is killed."""
    for name in cluster.running(stage):
        cluster.core.delete_namespaced_pod(name, cluster.namespace, grace_period_seconds=0)


def worker(project: Project, cluster: Cluster, s3: S3, stage: str) -> None:
    """The next worker of Airflow's that has a task: it begins the stage's pod, or comes back to it."""
    killed: list[int] = []

    def kill() -> bool:
        for busy in busy_workers(project):
            with suppress(psutil.NoSuchProcess):
                busy.kill()
                killed.append(busy.pid)
        return bool(killed)

    until(kill)


def scheduler(project: Project, cluster: Cluster, s3: S3, stage: str) -> None:
    """Airflow's scheduler, with the workers below it."""
    _kill_service(project, "airflow-scheduler")


def triggerer(project: Project, cluster: Cluster, s3: S3, stage: str) -> None:
    """Airflow's triggerer, once it watches the pod; it never does where the pod ends within seconds."""
    with project.airflow() as airflow:

        def deferred() -> bool:
            asked = airflow.get("/api/v2/dags/~/dagRuns/~/taskInstances", params={"state": "deferred"})
            return any(task["task_id"] == stage for task in asked.json()["task_instances"])

        until(lambda: deferred() or not cluster.running(stage), 60)
    _kill_service(project, "airflow-triggerer")


def api_server(project: Project, cluster: Cluster, s3: S3, stage: str) -> None:
    """The cluster's API server is away."""
    program = os.environ.get(CONTROL)
    if program is None:
        pytest.fail(f"set {CONTROL} to the program that stops and starts the API server")
    subprocess.run([program, "kill", "apiserver"], check=True, stdout=subprocess.DEVNULL)
    time.sleep(AWAY)
    subprocess.run([program, "up"], check=True, stdout=subprocess.DEVNULL)


def store(project: Project, cluster: Cluster, s3: S3, stage: str) -> None:
    """The object store is away."""
    s3.stop()
    time.sleep(AWAY)
    s3.start()


def full_node(project: Project, cluster: Cluster, s3: S3, stage: str) -> None:
    """The node has no memory left, and the kubelet evicts the pod: its status, as the kubelet writes it then."""
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    for name in cluster.running(stage):
        cluster.core.patch_namespaced_pod_status(name, cluster.namespace, {"status": evicted})


FAULTS: list[Fault] = [pod, full_node, worker, scheduler, triggerer, api_server, store]
#: What CI runs: a pod's end that is told apart, and each thing away that only a cluster shows, at four of the stages.
SAMPLE = {(full_node, "collect"), (store, "validate"), (triggerer, "train"), (api_server, "validate_model")}


def pairs() -> Iterator[Any]:
    """Every fault at every stage."""
    for stage in STAGES:
        for fault in FAULTS:
            marks = [pytest.mark.faults, *([pytest.mark.cluster] if (fault, stage) in SAMPLE else [])]
            yield pytest.param(fault, stage, marks=marks, id=f"{fault.__name__}-{stage}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("fault", "stage"), list(pairs()))
def test_a_run_ends_as_an_undisturbed_one(
    up: Project, first: Any, cluster: Cluster, s3: S3, fault: Fault, stage: str
) -> None:
    """While the stage's pod runs: the run succeeds, at most one version is new, it answers, and no pod is left."""
    before = versions(up)
    run = up.start("run", PIPELINE, "--airflow", "--force", stage, "--json")
    until(lambda: run.poll() is not None or bool(cluster.running(stage)), 240)
    fault(up, cluster, s3, stage)
    out, err = run.communicate()
    assert run.returncode == 0, f"{err}\n{out}"
    after = versions(up)
    assert len(after) - len(before) == (stage == "train")
    assert len(set(after.values())) == len(after), "a version for each training key"
    answered = up.penstock("invoke", PIPELINE, "--data", json.dumps(ROW))["answer"]
    assert answered["version"] == json.loads(out)["version"]
    until(lambda: cluster.pods() == [], 90)


@pytest.mark.cluster
@pytest.mark.faults
@pytest.mark.timeout(900)
def test_two_runs_at_once(up: Project, first: Any, cluster: Cluster) -> None:
    """Airflow runs them one after the other, and they end in one version."""
    before = versions(up)
    runs = [up.start("run", PIPELINE, "--airflow", "--json") for _ in range(2)]
    for run in runs:
        out, err = run.communicate()
        assert run.returncode == 0, f"{err}\n{out}"
    assert versions(up) == before
    assert cluster.pods() == []


@pytest.mark.cluster
@pytest.mark.faults
@pytest.mark.timeout(900)
def test_a_cancelled_run_leaves_nothing(up: Project, first: Any, cluster: Cluster) -> None:
    """A person marks the run as failed in Airflow while a pod and its executors work: they go, and nothing else stays."""
    with spread(up, 2):
        run = up.start("run", PIPELINE, "--airflow", "--force", "train", "--json")
        until(lambda: bool(cluster.running("train", executors=True)), 240)
        cancel(up)
        run.communicate()
    assert run.returncode != 0
    until(lambda: left(cluster) == set(), 90)


def cancel(project: Project) -> None:
    """Mark what runs as failed, as the button in Airflow does."""
    with project.airflow() as airflow:
        runs = f"/api/v2/dags/{PIPELINE}/dagRuns"
        for run in airflow.get(runs, params={"state": "running"}).json()["dag_runs"]:
            airflow.patch(f"{runs}/{run['dag_run_id']}", json={"state": "failed"}).raise_for_status()


def left(cluster: Cluster) -> set[str]:
    """What runs of ours may leave behind, but for what every namespace has."""
    core, namespace = cluster.core, cluster.namespace
    found: list[Any] = [
        *core.list_namespaced_pod(namespace).items,
        *core.list_namespaced_service(namespace).items,
        *core.list_namespaced_config_map(namespace).items,
        *core.list_namespaced_persistent_volume_claim(namespace).items,
        *client.BatchV1Api().list_namespaced_job(namespace).items,
    ]
    return {each.metadata.name for each in found} - {"kube-root-ca.crt"}


def versions(project: Project) -> dict[str, str]:
    """Registered versions with the training key of each."""
    registry = Registry(project.environment["PENSTOCK_MLFLOW_URI"])
    return {each.version: str(each.key) for each in registry.versions(PIPELINE)}


def _kill_service(project: Project, name: str) -> None:
    """Kill it with all below it; who supervises it starts it again."""
    os.killpg(service(project, name).pid, signal.SIGKILL)
    project.penstock("up")
