"""A notebook on a pipeline's image, as the docs have it: it sees what the pipeline's stages see."""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx
import pytest
import yaml
from kubernetes.utils import create_from_dict

from tests.cluster.stand import LIBRARY, Cluster, built, registry
from tests.e2e.conftest import ROOT, Project
from tests.e2e.ends import PIPELINE
from tests.servers import free_port, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def token() -> str:
    """What opens it."""
    return secrets.token_hex(24)


@pytest.fixture(scope="module")
def notebook(up: Project, first: Any, cluster: Cluster, token: str) -> Iterator[str]:
    """Its URL, by way of `kubectl port-forward`."""
    image = up.penstock("image", "notebook", PIPELINE, "--registry", registry())["image"]
    cluster.core.create_namespaced_secret(
        cluster.namespace, {"metadata": {"name": "penstock-notebook"}, "stringData": {"token": token}}
    )
    manifests = built("notebook", cluster.namespace)
    for each in yaml.safe_load_all(manifests):
        if each["kind"] == "Deployment":
            pod = each["spec"]["template"]["spec"]
            pod["containers"][0]["image"] = image
            # Not every cluster gives volumes to who asks.
            pod["volumes"][0] = {"name": "work", "emptyDir": {}}
        create_from_dict(cluster.core.api_client, each)
    deployment = ["--namespace", cluster.namespace, "deployment/penstock-notebook"]
    try:
        subprocess.run(["kubectl", "rollout", "status", "--timeout=300s", *deployment], check=True)
        with forwarded(*deployment) as url:
            yield url
    finally:
        subprocess.run(["kubectl", "delete", "--wait=false", "--filename", "-"], input=manifests, check=True)
        until(lambda: cluster.pods() == [], 120)


@contextmanager
def forwarded(*what: str) -> Iterator[str]:
    """A port of this machine that leads to a pod's 8888."""
    port = free_port()
    process = subprocess.Popen(["kubectl", "port-forward", *what, f"{port}:8888"], stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def test_it_is_closed_without_its_token(notebook: str, token: str) -> None:
    """Neither without a token nor with another one does anybody get a kernel."""
    with httpx.Client(
        base_url=notebook, trust_env=False, transport=httpx.HTTPTransport(retries=5)
    ) as visitor:
        assert visitor.post("/api/kernels").status_code == 403
        assert visitor.post("/api/kernels", headers={"Authorization": "token x"}).status_code == 403
        assert visitor.get("/api/kernels", headers={"Authorization": f"token {token}"}).json() == []


def test_it_sees_what_the_stages_see(notebook: str, token: str) -> None:
    """The docs' cell reads the newest run from the store; the pipeline's own library and its model.py are there."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    (cell,) = re.findall(r"```python\n(import pandas.*?)```", text, re.DOTALL)
    cell = cell.replace("flight_delays", PIPELINE)
    model = f"/opt/penstock/app/dags/{PIPELINE}/model.py"
    cell += f"import pathlib, {LIBRARY}\nassert pathlib.Path({model!r}).is_file()\nprint(len(holdout))"
    assert int(asyncio.run(said(notebook, token, cell))) > 0


async def said(url: str, token: str, cell: str) -> str:
    """What a cell prints that a kernel of its own runs (Jupyter's REST and websocket API)."""
    headers = {"Authorization": f"token {token}"}
    async with aiohttp.ClientSession(url, headers=headers) as jupyter:
        async with jupyter.post("/api/kernels") as made:
            kernel = (await made.json())["id"]
        async with jupyter.ws_connect(f"/api/kernels/{kernel}/channels") as channels:
            header = {
                "msg_id": "1",
                "msg_type": "execute_request",
                "session": "1",
                "username": "",
                "version": "5.3",
            }
            content = {"code": cell, "silent": False, "store_history": False, "user_expressions": {}}
            await channels.send_json(
                {
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                }
            )
            printed, ended = "", set[str]()
            async for message in channels:
                told = message.json()
                if told["msg_type"] == "stream":
                    printed += told["content"]["text"]
                if told["msg_type"] == "execute_reply":
                    assert told["content"]["status"] == "ok", told["content"]
                    ended.add("reply")
                if (
                    told["content"].get("execution_state") == "idle"
                    and told["parent_header"].get("msg_id") == "1"
                ):
                    ended.add("idle")
                # What it printed comes by another channel than its end.
                if ended == {"reply", "idle"}:
                    return printed
    raise AssertionError("the kernel went away")
