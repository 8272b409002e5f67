"""A real cluster, whichever KUBECONFIG names, and what pods of ours reach from it: S3, MLflow, the function host."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from kubernetes import client, config, watch

from penstock.targets.embedded import EmbeddedTarget
from tests.e2e.conftest import ROOT, Project, make_project
from tests.servers import S3, free_port, mlflow_server, until

__all__ = ["make_project"]

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
    namespace, account, _ = manifests(name)
    core.create_namespace(namespace)
    core.create_namespaced_service_account(name, account)
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


@pytest.fixture(scope="module")
def project(
    make_project: Callable[[], Project], cluster: Cluster, s3: S3, mlflow: str, host: dict[str, str]
) -> Project:
    """A project whose stages run as pods: what they need is in a secret, and Airflow knows the same."""
    made = make_project()
    places = {**s3.environment, **host, "PENSTOCK_STORE": "s3://penstock/main", "PENSTOCK_MLFLOW_URI": mlflow}
    *_, secret = manifests(cluster.namespace)
    documented = {name for name in secret["stringData"] if not name.startswith("PENSTOCK_CONN_")}
    assert documented <= set(places)
    cluster.core.create_namespaced_secret(cluster.namespace, {**secret, "stringData": places})
    made.environment.update(
        places,
        AIRFLOW__PENSTOCK__RUNNER="kubernetes",
        AIRFLOW__PENSTOCK__NAMESPACE=cluster.namespace,
        AIRFLOW__PENSTOCK__SCHEDULE_TIMEOUT="20",
        AIRFLOW__PENSTOCK__KUBE_CONFIG=os.environ["KUBECONFIG"],
    )
    return made


def manifests(namespace: str) -> list[dict[str, Any]]:
    """What docs/kubernetes.md asks of a cluster, in another namespace."""
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/kubernetes.md").read_text(), re.DOTALL)
    found = list(yaml.safe_load_all(block))
    for each in found:
        where = each["metadata"]
        where["name" if each["kind"] == "Namespace" else "namespace"] = namespace
    return found


def build(project: Project, pipeline: str) -> None:
    """`penstock image build` of a pipeline."""
    base = os.environ.get(BASE_IMAGE)
    project.penstock(
        "image", "build", pipeline, "--registry", os.environ.get(REGISTRY, "localhost:5000/penstock"),
        *(["--base-image", base] if base else []),
    )  # fmt: skip
