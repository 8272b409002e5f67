"""What the tests of OpenWhisk share: a stand-in for a server, and functions whose steps are actions of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from penstock.spec.function import Function
from penstock.targets.openwhisk.client import OpenWhisk
from penstock.targets.openwhisk.target import OpenWhiskTarget
from tests.openwhisk import AUTH, Server, openwhisk
from tests.penstock.conftest import MakeFunction

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
