"""The main job with every stage a pod, through Airflow, on a real cluster."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.stand import LIBRARY, Cluster, declared
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE, ROW

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


def test_it_ends_on_a_live_function(up: Project, first: Any, cluster: Cluster) -> None:
    """Every stage ran as a pod of its own, every gate passed, the function answers; no pod is left behind."""
    assert first["state"] == "succeeded"
    assert {stage["state"] for stage in first["stages"]} == {"ran"}
    assert len(cluster.started) == len(first["stages"])
    assert cluster.pods() == []
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
    ("resources", "why", "next_step"),
    [
        ('{"collect": {"memory": "48Mi"}}', "killed for want of memory", "give the stage more"),
        (
            '{"collect": {"node_selector": {"pool": "none"}}}',
            "no node takes the pod",
            "give the cluster a node",
        ),
        ('{"collect": {"cpu": 900}}', "exceeded quota", "raise the quota"),
    ],
    ids=["memory", "node", "quota"],
)
def test_what_a_pod_lacks_is_named(
    up: Project, first: Any, cluster: Cluster, resources: str, why: str, next_step: str
) -> None:
    """The failure says which stage, what was seen and what to change; no pod is left."""
    with declared(up, f"retries=0, resources={resources}"):
        said = up.start("run", PIPELINE, "--airflow", "--force", "collect")
        out, err = said.communicate()
    assert said.returncode != 0
    assert why in out + err
    assert next_step in out + err
    assert cluster.pods() == []


def test_an_image_that_is_not_there_is_named(up: Project, first: Any, cluster: Cluster) -> None:
    """The registry has no such digest: the failure gives the cluster's reason."""
    path = up.root / "dags" / PIPELINE / "image.json"
    text = path.read_text()
    record = json.loads(text)
    record["image"] = record["image"].partition("@")[0] + "@sha256:" + "0" * 64
    path.write_text(json.dumps(record))
    try:
        said = up.start("run", PIPELINE, "--airflow", "--force", "collect")
        out, err = said.communicate()
        assert said.returncode != 0
        assert "cannot be pulled" in out + err
    finally:
        path.write_text(text)
    assert cluster.pods() == []
