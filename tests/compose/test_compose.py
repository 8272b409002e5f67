"""The main job in the containers of docker-compose.yml, through Airflow, and what they keep."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from penstock import signatures
from tests.compose.conftest import Stack, docker, stepped
from tests.e2e.ends import PIPELINE, ROW
from tests.library import GIVEN
from tests.servers import airflow_api, until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(3600)]

ONCE = {"secrets", "prepare"}


@pytest.fixture(scope="module")
def up(stack: Stack) -> Stack:
    """Up over the scaffold's pipeline, whose step's library is on the machine image, by the documented commands."""
    stepped(stack.project)
    made = stack.project.penstock("image", "machine", PIPELINE)
    stack.project.environment["PENSTOCK_MACHINE_IMAGE"] = made["image"]
    stack.compose("up", "--wait", "--quiet-pull")
    return stack


@pytest.fixture(scope="module")
def first(up: Stack) -> Any:
    """The answer of a first run, by Airflow."""
    return up.penstock("run", PIPELINE, "--airflow")


def ask(stack: Stack) -> Any:
    """What the live function answers on this machine."""
    answer = httpx.post(
        f"{stack.url('HOST')}/functions/{PIPELINE}/predict", json=ROW, trust_env=False, timeout=60
    )
    return answer.raise_for_status().json()


def secrets_of(stack: Stack) -> dict[str, str]:
    """The generated secrets by name."""
    read = "import json, pathlib; print(json.dumps({f.name: f.read_text() for f in pathlib.Path('/secrets').iterdir()}))"
    return dict(json.loads(stack.compose("exec", "-T", "airflow-scheduler", "python3", "-c", read)))


def test_every_service_is_bounded(stack: Stack) -> None:
    """Compose takes the file; no service may write to its image or gain a right, all are watched, ports are loopback's."""
    services = json.loads(stack.compose("config", "--format", "json"))["services"]
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        if name not in ONCE:
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name


def test_it_ends_on_a_live_function(up: Stack, first: Any) -> None:
    """Every stage ran, and the function answers on this machine as the version that the registry has; it is signed.

    Its step has its library where register proves it and where the host serves it, which installs nothing.
    """
    assert first["state"] == "succeeded"
    assert {stage["state"] for stage in first["stages"]} == {"ran"}
    answer = ask(up)
    assert answer["version"] == "1"
    assert answer.items() >= GIVEN.items()
    assert not up.compose("exec", "-T", "function-host", "ls", "/scratch/host/libraries")
    answer = up.penstock("status", PIPELINE)
    status = answer["pipelines"][0]
    assert answer["airflow"] == "running"
    assert (status["champion"]["version"], status["serving"]) == ("1", "1")
    assert up.compose("exec", "-T", "function-host", "find", "/scratch/host", "-name", "function.sig")


def test_the_login_opens_airflow(up: Stack, first: Any) -> None:
    """By the documented password, at the port on this machine; its server shows what a stage printed elsewhere."""
    with airflow_api(up.url("AIRFLOW"), up.password()) as client:
        log = client.get(f"/api/v2/dags/{PIPELINE}/dagRuns/{first['run']}/taskInstances/train/logs/1")
        assert "holdout:" in log.raise_for_status().text


def test_mlflow_shows_it(up: Stack, first: Any) -> None:
    """Its page and its API answer on this machine, and models' artifacts come from the bucket through it."""
    with httpx.Client(base_url=up.url("MLFLOW"), trust_env=False) as client:
        assert client.get("/").is_success
        found = client.get(
            "/api/2.0/mlflow/registered-models/alias", params={"name": PIPELINE, "alias": "champion"}
        )
        source = found.raise_for_status().json()["model_version"]
        assert source["version"] == "1"
        artifacts = client.get("/api/2.0/mlflow-artifacts/artifacts").raise_for_status().json()
        assert artifacts["files"]


def test_no_secret_is_shown(up: Stack, first: Any) -> None:
    """Neither what the engine tells of a container nor its log holds a secret; register's log names the public key."""
    containers = up.compose("ps", "--all", "--quiet").split()
    told = docker("inspect", *containers) + up.compose("logs", "--no-color")
    assert len(containers) == 11
    hidden = {**secrets_of(up), "admin": up.password()}
    assert hidden.pop(signatures.PUBLIC_KEYS) in told
    for name, secret in hidden.items():
        assert secret not in told, name


def test_what_was_stopped_goes_on(up: Stack, first: Any) -> None:
    """Taken down and up again: same secrets, same function, and a run that finds all done."""
    before, password = secrets_of(up), up.password()
    up.compose("down", "--timeout", "30")
    up.compose("up", "--wait")
    assert (secrets_of(up), up.password()) == (before, password)
    assert ask(up)["version"] == "1"
    again = up.penstock("run", PIPELINE, "--airflow")
    assert {stage["state"] for stage in again["stages"]} == {"reused"}


def test_a_service_that_dies_comes_back(up: Stack, first: Any) -> None:
    """The function host is killed: the engine starts it again, and the function answers without a run."""
    (host,) = up.compose("ps", "--quiet", "function-host").split()
    up.compose("exec", "--detach", "function-host", "sh", "-c", "kill -9 -1")
    until(lambda: docker("inspect", "--format", "{{.RestartCount}}", host) == "1")
    until(lambda: answers(up))


def answers(stack: Stack) -> bool:
    try:
        return bool(ask(stack)["version"] == "1")
    except httpx.HTTPError:
        return False
