"""A pipeline on a real cluster, whichever KUBECONFIG names, with what pods of ours reach: S3, MLflow, the function host."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import psutil
import yaml
from kubernetes import client, config, watch
from kubernetes.utils import create_from_dict

from penstock import processes, signatures
from penstock.results import StageResult
from penstock.store import Store
from penstock.targets.embedded import EmbeddedTarget
from tests.e2e.conftest import ROOT, Project, projects
from tests.e2e.ends import PIPELINE, change, scaffold
from tests.library import LIBRARY, LOCK
from tests.servers import S3, free_port, mlflow_server, until

STORE = "s3://penstock/main"
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

    def running(self, stage: str, *, executors: bool = False) -> list[str]:
        """The pods of a stage that run now: its own, or its executors."""
        role = "spark-role=executor" if executors else "!spark-role"
        found = self.core.list_namespaced_pod(self.namespace, label_selector=f"penstock/stage={stage},{role}")
        return [pod.metadata.name for pod in found.items if pod.status.phase == "Running"]

    def watch(self) -> None:
        """Note the name of each pod that is made, from now on."""
        while True:
            with suppress(Exception):  # the API server is away for a while, or has nothing to tell
                for event in watch.Watch().stream(self.core.list_namespaced_pod, self.namespace):
                    name = event["object"].metadata.name
                    if name not in self.started:
                        self.started.append(name)
            time.sleep(0.5)


@dataclass(frozen=True)
class Stand:
    """A project whose stages run as pods, and what they run on."""

    cluster: Cluster
    s3: S3
    project: Project


@contextmanager
def stand(folder: Callable[[str], Path]) -> Iterator[Stand]:
    """The scaffold's pipeline with its data in the bucket and its image built; Airflow runs. `folder` makes folders."""
    with ExitStack() as stack:
        cluster = stack.enter_context(namespace())
        s3 = stack.enter_context(S3(folder("s3"), cluster.address).running())
        models = folder("mlflow")
        mlflow = stack.enter_context(mlflow_server(models, f"sqlite:///{models}/mlflow.db", cluster.address))
        host = stack.enter_context(function_host(folder("host"), cluster.address))
        project = stack.enter_context(projects(folder))()
        private, public = signatures.generate()
        places = {
            **s3.environment,
            **host,
            signatures.SIGNING_KEY: private,
            signatures.PUBLIC_KEYS: public,
            "PENSTOCK_STORE": STORE,
            "PENSTOCK_MLFLOW_URI": mlflow,
        }
        assert documented() <= set(places)
        cluster.core.create_namespaced_secret(
            cluster.namespace, {"metadata": {"name": "penstock-job"}, "stringData": places}
        )
        project.environment.update(
            places,
            AIRFLOW__PENSTOCK__RUNNER="kubernetes",
            AIRFLOW__PENSTOCK__NAMESPACE=cluster.namespace,
            # Longer than a node is tainted for once its API server is back.
            AIRFLOW__PENSTOCK__SCHEDULE_TIMEOUT="30",
            AIRFLOW__PENSTOCK__KUBE_CONFIG=os.environ["KUBECONFIG"],
            # A worker, scheduler or triggerer that is gone is missed within seconds, not minutes.
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT="20",
            AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL="5",
            AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD="15",
            AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC="2",
        )
        _make_pipeline(project)
        project.penstock("up")
        yield Stand(cluster, s3, project)


@contextmanager
def temporary() -> Iterator[Stand]:
    """A stand whose folders go with it, for what is no test."""
    with (
        tempfile.TemporaryDirectory(prefix="penstock-stand-") as top,
        stand(lambda name: Path(tempfile.mkdtemp(prefix=f"{name}-", dir=top))) as made,
    ):
        yield made


def _make_pipeline(project: Project) -> None:
    project.share_downloads()
    scaffold(project)
    spec = spec_of(project)
    change(spec, '"data/', '"s3://penstock/data/')
    change(spec.with_name("model.py"), "\nfrom pyspark", f"\nimport {LIBRARY}  # noqa: F401\nfrom pyspark")
    spec.with_name("requirements.txt").write_text(LOCK)
    fsspec.filesystem("s3").put(f"{project.root}/data/", "penstock/data", recursive=True)
    build_image(project, PIPELINE)


def build_image(project: Project, name: str) -> None:
    """Build a pipeline's image, where this cluster pulls from."""
    base = os.environ.get(BASE_IMAGE)
    project.penstock(
        "image", "build", name, "--registry", registry(), *(["--base-image", base] if base else [])
    )


def registry() -> str:
    """Where this cluster pulls from."""
    return os.environ.get(REGISTRY, "localhost:5000/penstock")


def result(answer: Any, stage: str, pipeline: str = PIPELINE) -> StageResult:
    """What a stage of a run left in the store."""
    key = next(each["key"] for each in answer["stages"] if each["name"] == stage)
    found = Store(STORE).result(pipeline, stage, key)
    assert found is not None
    return found


@contextmanager
def namespace() -> Iterator[Cluster]:
    """A namespace with what deploy/base puts into it; removed at the end."""
    config.load_kube_config()
    core = client.CoreV1Api()
    node = core.list_node().items[0]
    address = next(each.address for each in node.status.addresses if each.type == "InternalIP")
    name = f"penstock-test-{secrets.token_hex(3)}"
    for each in manifests(name):
        create_from_dict(core.api_client, each)
    found = Cluster(core, name, address)
    threading.Thread(target=found.watch, daemon=True).start()
    try:
        yield found
    finally:
        core.delete_namespace(name)


@contextmanager
def function_host(state: Path, address: str) -> Iterator[dict[str, str]]:
    """A function host that pods reach: its URL and token, as the environment has them."""
    command = [sys.executable, "-m", "penstock.host", "--state", str(state), "--bind", address]
    process = subprocess.Popen([*command, "--port", str(free_port(address))], stderr=subprocess.DEVNULL)
    try:
        target = EmbeddedTarget(state)
        until(lambda: target.url() is not None)
        url = target.url()
        assert url is not None
        yield {"PENSTOCK_HOST_URL": url, "PENSTOCK_HOST_TOKEN": (state / "token").read_text().strip()}
    finally:
        process.terminate()
        process.wait()


def service(project: Project, name: str) -> psutil.Process:
    """The process of one of the services that `penstock up` started."""
    found = processes.find(name, project.var / "services")
    assert found is not None
    return psutil.Process(found.pid)


def busy_workers(project: Project) -> list[psutil.Process]:
    """Airflow's workers that have a task's process now. (Others may hold the lock of the queue that all of them read.)"""
    found = []
    for child in service(project, "airflow-scheduler").children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            title = " ".join(child.cmdline())
            if "airflow worker -- " in title and "<idle>" not in title and child.children():
                found.append(child)
    return found


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


@contextmanager
def spread(project: Project, count: int) -> Iterator[None]:
    """The pipeline with that many executors for features and train, however few its rows are."""
    executors = {"executors": {"count": count, "cpu": 0.3, "memory": "1Gi", "above_rows": 0}}
    with declared(project, f"resources={ {'features': executors, 'train': executors}!r}"):
        yield


def manifests(namespace: str, folder: str = "base") -> Iterator[dict[str, Any]]:
    """What a folder of deploy/ gives a cluster, in another namespace."""
    place = ROOT / "deploy" / folder
    for name in yaml.safe_load((place / "kustomization.yaml").read_text())["resources"]:
        for each in yaml.safe_load_all((place / name).read_text()):
            each["metadata"]["name" if each["kind"] == "Namespace" else "namespace"] = namespace
            for subject in each.get("subjects", []):
                subject["namespace"] = namespace
            yield each


def built(folder: str, namespace: str) -> bytes:
    """What `kubectl kustomize` makes of a folder of deploy/, in another namespace: the one it names is not there."""
    made = subprocess.run(["kubectl", "kustomize", ROOT / "deploy" / folder], capture_output=True, check=True)
    return re.sub(rb"(?m)^(\s*)namespace: .*$", rb"\1namespace: " + namespace.encode(), made.stdout)


def documented() -> set[str]:
    """What docs/kubernetes.md says of the secret, but for connections."""
    (block,) = re.findall(r"```ini\n(.*?)```", (ROOT / "docs/kubernetes.md").read_text(), re.DOTALL)
    names = {line.partition("=")[0] for line in block.splitlines()}
    return {name for name in names if not name.startswith("PENSTOCK_CONN_")}
