"""A client of OpenWhisk's API on the host, and what tests of it have alike."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partialmethod
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from penstock.host.app import Host
from penstock.host.limits import Limits
from penstock.host.state import HostRecord, StateFolder
from tests.penstock.host.harness import until, zip_of

AT = "/api/v1/namespaces/_"
RECORD = HostRecord(url="http://127.0.0.1:1", pid=1, created=0.0, birth="")


@contextmanager
def serving(state: Path, limits: Limits | None = None) -> Iterator[TestClient]:
    """A host on a folder, whose client knows its token."""
    folder = StateFolder(state)
    folder.open()
    host = Host(folder, RECORD, limits or Limits(), f"file://{state}/store")
    with TestClient(host.app(loopback=True), base_url="http://127.0.0.1") as client:
        client.headers["Authorization"] = f"Bearer {folder.token()}"
        yield client


class Guest:
    """A client of the host that has a new key of a namespace, which is made where there is none."""

    def __init__(self, host: TestClient, name: str = "guest") -> None:
        self._host = host
        identity, _, secret = host.put(f"/namespaces/{name}").json()["key"].partition(":")
        self._auth = (identity, secret)

    def of(self, host: TestClient) -> Guest:
        """The same key, for another host."""
        other = copy(self)
        other._host = host
        return other

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._host.request(method, path, auth=self._auth, **more)

    get = partialmethod(request, "GET")
    head = partialmethod(request, "HEAD")
    put = partialmethod(request, "PUT")
    post = partialmethod(request, "POST")
    delete = partialmethod(request, "DELETE")


def executed(package: Path) -> dict[str, Any]:
    """The `exec` of an action that is this function package."""
    code = base64.b64encode(zip_of(package)).decode()
    return {"kind": "blackbox", "image": "registry.example/function:1", "code": code, "binary": True}


def sequence(*names: str) -> dict[str, Any]:
    return {"exec": {"kind": "sequence", "components": [f"/_/box/{name}" for name in names]}}


def refused(answer: httpx.Response, status: int, said: str) -> None:
    """It is an error as OpenWhisk tells it."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"code", "error"}
    assert said in body["error"]


def activation(guest: Guest, number: str) -> dict[str, Any]:
    """The record, once it is there."""
    until(lambda: guest.get(f"{AT}/activations/{number}").status_code == 200, "the record is there")
    return dict(guest.get(f"{AT}/activations/{number}").json())
