"""A real cluster, whichever KUBECONFIG names, and what pods of ours reach from it: S3, MLflow, the function host."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from kubernetes import client, config, watch
from kubernetes.utils import create_from_dict

from penstock.targets.embedded import EmbeddedTarget
from tests.e2e.conftest import ROOT, Project, projects
from tests.servers import S3, free_port, mlflow_server, until

PIPELINE = "parcels_late"
#: What the function is asked.
ROW = {"carrier": "swift", "express": "true", "distance_km": 152.0, "weight_kg": None}
#: Where images go, and what the job image stands on where the usual base cannot be had.
REGISTRY, BASE_IMAGE = "PENSTOCK_REGISTRY", "PENSTOCK_BASE_IMAGE"


@dataclass
class Cluster:
    """A namespace of the tests' own, which admits only what Pod Security's `restricted` admits."""

    core: client.CoreV1Api
    namespace: str
    address: str
    started: list[str] = field(default_factory=list)

    def pods(self) -> list[str]:
        """The names of the pods there are now."""
        return [pod.metadata.name for pod in self.core.list_namespaced_pod(self.namespace).items]

    def watch(self) -> None:
        """Note the name of each pod that is made, from now on."""
        for event in watch.Watch().stream(self.core.list_namespaced_pod, self.namespace):
            if event["type"] == "ADDED":
                self.started.append(event["object"].metadata.name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The namespace with a service account without rights; removed at the end."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("no cluster: set KUBECONFIG to that of kind, minikube or a real one")
    config.load_kube_config()
    core = client.CoreV1Api()
    node = core.list_node().items[0]
    address = next(each.address for each in node.status.addresses if each.type == "InternalIP")
    name = f"penstock-test-{secrets.token_hex(3)}"
    for each in manifests(name):
        create_from_dict(core.api_client, each)
    found = Cluster(core, name, address)
    threading.Thread(target=found.watch, daemon=True).start()
    yield found
    core.delete_namespace(name)


@pytest.fixture(scope="session")
def s3(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 server that pods reach: on the node's address."""
    with S3(tmp_path_factory.mktemp("s3"), cluster.address).running() as server:
        yield server


@pytest.fixture(scope="session")
def mlflow(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's server that pods reach."""
    folder = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(folder, f"sqlite:///{folder}/mlflow.db", cluster.address) as url:
        yield url


@pytest.fixture(scope="session")
def host(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A function host that pods reach: its URL and token, as the environment has them."""
    state = tmp_path_factory.mktemp("host")
    command = [sys.executable, "-m", "penstock.host", "--state", str(state), "--bind", cluster.address]
    process = subprocess.Popen(
        [*command, "--port", str(free_port(cluster.address))], stderr=subprocess.DEVNULL
    )
    target = EmbeddedTarget(state)
    until(lambda: target.url() is not None)
    url = target.url()
    assert url is not None
    yield {"PENSTOCK_HOST_URL": url, "PENSTOCK_HOST_TOKEN": (state / "token").read_text().strip()}
    process.terminate()
    process.wait()


@pytest.fixture(scope="session")
def project(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, s3: S3, mlflow: str, host: dict[str, str]
) -> Iterator[Project]:
    """A project whose stages run as pods: what they need is in a secret, and Airflow knows the same."""
    places = {**s3.environment, **host, "PENSTOCK_STORE": "s3://penstock/main", "PENSTOCK_MLFLOW_URI": mlflow}
    assert documented() <= set(places)
    cluster.core.create_namespaced_secret(
        cluster.namespace, {"metadata": {"name": "penstock-job"}, "stringData": places}
    )
    with projects(tmp_path_factory) as make:
        made = make()
        made.environment.update(
            places,
            AIRFLOW__PENSTOCK__RUNNER="kubernetes",
            AIRFLOW__PENSTOCK__NAMESPACE=cluster.namespace,
            AIRFLOW__PENSTOCK__SCHEDULE_TIMEOUT="20",
            AIRFLOW__PENSTOCK__KUBE_CONFIG=os.environ["KUBECONFIG"],
            # A worker or triggerer that is gone is missed within seconds, not minutes.
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT="20",
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL="5",
            AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC="2",
        )
        yield made


@pytest.fixture(scope="session")
def up(project: Project) -> Project:
    """The scaffold's pipeline with its data in the bucket and its image built; Airflow runs."""
    project.penstock("init", PIPELINE)
    spec = spec_of(project)
    spec.write_text(spec.read_text().replace('"data/', '"s3://penstock/data/'))
    fsspec.filesystem("s3").put(f"{project.root}/data/", "penstock/data", recursive=True)
    base = os.environ.get(BASE_IMAGE)
    project.penstock(
        "image", "build", PIPELINE, "--registry", os.environ.get(REGISTRY, "localhost:5000/penstock"),
        *(["--base-image", base] if base else []),
    )  # fmt: skip
    project.penstock("up")
    return project


@pytest.fixture(scope="session")
def first(up: Project) -> Any:
    """The answer of a first run."""
    return up.penstock("run", PIPELINE, "--airflow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What says how a first run and the one after it go comes first: the others force stages, which moves the champion."""
    items.sort(key=lambda item: "test_main_job" not in item.nodeid)


def pods_of(cluster: Cluster, stage: str) -> list[str]:
    """A stage's own pods that run now."""
    found = cluster.core.list_namespaced_pod(
        cluster.namespace, label_selector=f"penstock/stage={stage},!spark-role"
    ).items
    return [pod.metadata.name for pod in found if pod.status.phase == "Running"]


def spec_of(project: Project) -> Path:
    """The file with the pipeline's declaration."""
    return project.root / "dags" / PIPELINE / "pipeline.py"


@contextmanager
def declared(project: Project, fields: str) -> Iterator[None]:
    """The pipeline with more fields in its declaration, meanwhile."""
    spec = spec_of(project)
    text = spec.read_text()
    spec.write_text(text.replace("    slices=", f"    {fields},\n    slices="))
    try:
        yield
    finally:
        spec.write_text(text)


def manifests(namespace: str) -> Iterator[dict[str, Any]]:
    """What deploy/base gives a cluster, in another namespace."""
    base = ROOT / "deploy" / "base"
    for name in yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]:
        for each in yaml.safe_load_all((base / name).read_text()):
            each["metadata"]["name" if each["kind"] == "Namespace" else "namespace"] = namespace
            for subject in each.get("subjects", []):
                subject["namespace"] = namespace
            yield each


def documented() -> set[str]:
    """What docs/kubernetes.md says of the secret, but for connections."""
    (block,) = re.findall(r"```ini\n(.*?)```", (ROOT / "docs/kubernetes.md").read_text(), re.DOTALL)
    names = {line.partition("=")[0] for line in block.splitlines()}
    return {name for name in names if not name.startswith("PENSTOCK_CONN_")}
