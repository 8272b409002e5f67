"""The main job with every stage a pod, through Airflow, on a real cluster."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from penstock.record import Runs
from penstock.store import Store
from tests.cluster.stand import Cluster, declared
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE, ROW
from tests.library import LIBRARY

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


def test_it_ends_on_a_live_function(up: Project, first: Any, cluster: Cluster) -> None:
    """Every stage ran as a pod of its own, every gate passed, the function answers; no pod is left behind."""
    assert first["state"] == "succeeded"
    assert {stage["state"] for stage in first["stages"]} == {"ran"}
    assert len(cluster.started) == len(first["stages"])
    assert cluster.pods() == []
    assert [record.run.run for record in Runs(Store(up.environment["PENSTOCK_STORE"])).all(PIPELINE)] == [
        first["run"]
    ]
    answer = up.penstock("invoke", PIPELINE, "--data", json.dumps(ROW))
    assert answer["answer"]["version"] == first["version"] == "1"


def test_its_own_library_is_in_its_image(up: Project, first: Any) -> None:
    """model.py imports what only its requirements.txt names: not the job room, nor the environment here."""
    assert f"import {LIBRARY}" in (up.root / "dags" / PIPELINE / "model.py").read_text()
    assert find_spec(LIBRARY) is None
    assert first["state"] == "succeeded"


def test_nothing_changed_no_pod(up: Project, first: Any, cluster: Cluster) -> None:
    """A second run reuses everything before a pod exists; so does one in a terminal here: the keys are the same."""
    before = len(cluster.started)
    for how in (["--airflow"], []):
        again = up.penstock("run", PIPELINE, *how)
        assert {stage["state"] for stage in again["stages"]} == {"reused"}
    assert len(cluster.started) == before


def test_the_jobs_lines_are_in_the_tasks_log(up: Project, first: Any) -> None:
    """The log of a pod that is gone is whole, and holds no secret."""
    logs = "\n".join(
        path.read_text()
        for path in Path(up.var / "airflow" / "logs").rglob("*")
        if path.is_file() and "train" in str(path)
    )
    assert "holdout:" in logs
    assert up.environment["AWS_SECRET_ACCESS_KEY"] not in logs
    assert up.environment["PENSTOCK_HOST_TOKEN"] not in logs
    assert up.environment["PENSTOCK_SIGNING_KEY"] not in logs


def test_a_stale_image_starts_no_pod(up: Project, first: Any, cluster: Cluster) -> None:
    """model.py changed since the image was built: the run says what to do before any pod is made."""
    model = up.root / "dags" / PIPELINE / "model.py"
    text, before = model.read_text(), len(cluster.started)
    model.write_text(f"{text}\n# changed\n")
    try:
        said = up.start("run", PIPELINE, "--airflow")
        out, err = said.communicate()
        assert said.returncode != 0
        assert f"penstock image build {PIPELINE}" in out + err
    finally:
        model.write_text(text)
    assert len(cluster.started) == before


@pytest.mark.parametrize(
    ("stage", "resources", "why", "next_step"),
    [
        ("collect", '{"collect": {"memory": "48Mi"}}', "killed for want of memory", "give the stage more"),
        (
            "collect",
            '{"collect": {"node_selector": {"pool": "none"}}}',
            "no node takes the pod",
            "give the cluster a node",
        ),
        ("collect", '{"collect": {"cpu": 900}}', "exceeded quota", "raise the quota"),
        (
            "collect",
            '{"collect": {"service_account": "nobody"}}',
            'serviceaccount "nobody" not found',
            "service account",
        ),
        (
            "features",
            '{"features": {"service_account": "penstock-job", "executors": '
            '{"count": 1, "cpu": 0.3, "memory": "1Gi", "above_rows": 0}}}',
            "may not make pods",
            "penstock-driver",
        ),
    ],
    ids=["memory", "node", "quota", "account", "right"],
)
def test_what_a_pod_lacks_is_named(
    up: Project, first: Any, cluster: Cluster, stage: str, resources: str, why: str, next_step: str
) -> None:
    """The failure says which stage, what was seen and what to change; no pod is left."""
    with declared(up, f"retries=0, resources={resources}"):
        said = up.start("run", PIPELINE, "--airflow", "--force", stage)
        out, err = said.communicate()
    assert said.returncode != 0
    assert why in out + err
    assert next_step in out + err
    assert cluster.pods() == []


def test_an_image_that_is_not_there_is_named(up: Project, first: Any, cluster: Cluster) -> None:
    """The registry has no such digest: the failure gives the cluster's reason."""
    said = with_image(up, lambda image: image.partition("@")[0] + NO_DIGEST)
    assert "cannot be pulled" in said
    assert cluster.pods() == []


def test_a_wrong_pull_secret_is_named(up: Project, first: Any, cluster: Cluster) -> None:
    """A registry that knows no such login: the failure gives its answer, and says who must be let in."""
    login = {"auths": {"127.0.0.1": {"username": "penstock", "password": "of-yesterday"}}}
    secret = {"metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson"}
    cluster.core.create_namespaced_secret(
        cluster.namespace, {**secret, "stringData": {".dockerconfigjson": json.dumps(login)}}
    )
    with lets_nobody_in() as registry, pulling_with(cluster, "pull"):
        said = with_image(up, lambda _: f"{registry}/penstock/pipeline{NO_DIGEST}")
    assert "cannot be pulled" in said
    assert "401 Unauthorized" in said
    assert "the service account may pull from there" in said
    assert cluster.pods() == []


NO_DIGEST = "@sha256:" + "0" * 64


def with_image(project: Project, other: Callable[[str], str]) -> str:
    """What a run says that fails with another image than the one that was built."""
    path = project.root / "dags" / PIPELINE / "image.json"
    text = path.read_text()
    record = json.loads(text)
    path.write_text(json.dumps({**record, "image": other(record["image"])}))
    try:
        run = project.start("run", PIPELINE, "--airflow", "--force", "collect")
        out, err = run.communicate()
    finally:
        path.write_text(text)
    assert run.returncode != 0
    return out + err


@contextmanager
def pulling_with(cluster: Cluster, secret: str) -> Iterator[None]:
    """The stages' service account pulls images with a secret, meanwhile."""
    core, account = cluster.core, ("penstock-job", cluster.namespace)
    core.patch_namespaced_service_account(*account, {"imagePullSecrets": [{"name": secret}]})
    yield
    core.patch_namespaced_service_account(*account, {"imagePullSecrets": None})


class _NobodyIn(BaseHTTPRequestHandler):
    """What a registry answers to whom it does not know."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="registry"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def lets_nobody_in() -> Iterator[str]:
    """A registry on loopback, which kubelets ask without TLS."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _NobodyIn) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
