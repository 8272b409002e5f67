"""What the tests of OpenWhisk share: a stand-in for a server, the function host as one, and functions with steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.spec.function import Function
from penstock.targets.openwhisk.client import OpenWhisk
from penstock.targets.openwhisk.target import OpenWhiskTarget
from tests.openwhisk import AUTH, Server, openwhisk
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost

Open = Callable[..., OpenWhiskTarget]
Packages = Mapping[str, Path]

IMAGE = "registry.example/function:1"
RAW = """
import json, sys
TAKES = {"raw": "string"}
GIVES = {"x": "double"}
EXAMPLES = [({"raw": "2"}, {"x": 2.0})]

def run(record):
    if record["raw"] == "none":
        return {}["none"]
    print(json.dumps({"seen": record["raw"]}))
    return {"x": float(record["raw"])}
"""
BAND = """
TAKES = {"prediction": "double", "raw": "string"}
GIVES = {"band": "string"}
EXAMPLES = [({"prediction": 7.0, "raw": "6"}, {"band": "high of 6"})]

def run(record):
    if record["prediction"] < 0:
        raise ValueError("nothing is below zero")
    return {"band": f"{'high' if record['prediction'] > 5 else 'low'} of {record['raw']}"}
"""
#: After its example another answer in each process: as a step whose answer does not rest on the record alone.
FICKLE = """
import os
TAKES = {}
GIVES = {"process": "int"}
EXAMPLES = [({}, {"process": 0})]
answers = iter([0])

def run(record):
    return {"process": next(answers, os.getpid())}
"""
ORDER = ["raw", "score", "band"]


@pytest.fixture(scope="module")
def kept() -> Iterator[Server]:
    """A server whose containers stay from test to test."""
    with openwhisk() as started:
        yield started


@pytest.fixture
def server(kept: Server) -> Server:
    """A server with nothing on it."""
    kept.clear()
    return kept


@pytest.fixture(scope="module")
def packages(make_function: MakeFunction) -> Packages:
    """Two versions of a function, and another function with the same steps, and one that is never the same."""
    steps = {"steps/raw/step.py": RAW, "steps/band/step.py": BAND}
    return {
        "first": make_function(1, steps=steps, order=ORDER),
        "second": make_function(2, steps=steps, order=ORDER),
        "other": make_function(3, "other", steps=steps, order=ORDER),
        "fickle": make_function(4, steps={**steps, "steps/fickle/step.py": FICKLE}, order=[*ORDER, "fickle"]),
    }


@pytest.fixture
def opened(server: Server) -> Open:
    """Opens the target of a function that is declared so."""

    def target(image: str = IMAGE, **declared: object) -> OpenWhiskTarget:
        function = Function.model_validate({"target": "openwhisk", **declared})
        made = OpenWhiskTarget(OpenWhisk(server.url, AUTH), image, "penstock", function)
        made.prepare()
        return made

    return target


class Hosted:
    """A namespace of a function host, in the place of a server; with its key, as anybody who has it."""

    def __init__(self, host: RunningHost) -> None:
        self.url = str(host.client.base_url).rstrip("/")
        self.auth = host.client.put("/namespaces/guest").json()["key"]
        name, _, secret = self.auth.partition(":")
        self._client = httpx.Client(
            base_url=f"{self.url}/api/v1/namespaces/_", auth=(name, secret), trust_env=False, timeout=60
        )

    def request(self, method: str, path: str, content: Any = None) -> httpx.Response:
        """What the host answers."""
        return self._client.request(method, path, json=content)

    def listed(self, kind: str) -> list[str]:
        """The names of all entities of a kind."""
        return sorted(each["name"] for each in self.request("GET", f"/{kind}?limit=200").json())

    def change(self, path: str, **content: Any) -> None:
        """As somebody does by hand."""
        assert self.request("PUT", f"{path}?overwrite=true", content).status_code == 200

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="module")
def _host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    running = RunningHost(tmp_path_factory.mktemp("host") / "state")
    running.start()
    yield running
    running.close()


@pytest.fixture
def hosted(_host: RunningHost) -> Iterator[Hosted]:
    """A namespace with nothing in it."""
    made = Hosted(_host)
    yield made
    made.close()
    assert _host.client.delete("/namespaces/guest").status_code == 204


@pytest.fixture
def on_host(hosted: Hosted) -> Open:
    """Opens the target of a function that is declared so, in that namespace, where steps run beside the model."""

    def target(**declared: object) -> OpenWhiskTarget:
        function = Function.model_validate({"target": "openwhisk", "chain": "process", **declared})
        made = OpenWhiskTarget(OpenWhisk(hosted.url, hosted.auth), IMAGE, "penstock", function)
        made.prepare()
        return made

    return target
