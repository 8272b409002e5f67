"""Functions on Knative and KServe: their manifests by a real API server against the platforms' CRDs, and the contract's cases.

The controllers are a stand-in (tests/cluster/knative.py says what is real); the folder that PENSTOCK_CONTRACTS names has the
CRDs: `knative/*.yaml` and `kserve/*.yaml`.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from kubernetes import client

from penstock.spec.function import Function
from penstock.targets import Target, open_target
from penstock.targets.kubernetes import access, rollouts
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.manifests import Revision, Shape
from penstock.targets.serverless.knative import Knative
from penstock.targets.serverless.kserve import KServe
from tests.cluster.functions import Place
from tests.cluster.knative import controllers
from tests.penstock.conftest import MakeFunction
from tests.penstock.rolling import NEVER, SOON

# The contract's cases, on the targets below.
from tests.penstock.targets.test_contract import (  # noqa: F401
    test_a_command_line_asks_it,
    test_a_function_from_its_package_to_its_removal,
    test_a_package_that_fails_its_proof_leaves_all_as_it_was,
)
from tests.servers import until

pytestmark = [pytest.mark.cluster]
CONTRACTS = "PENSTOCK_CONTRACTS"
MADE = Revision("shift", "7", "v7-0123456789ab", f"registry.example/team/fn@sha256:{'a' * 64}")
SHAPE = Shape(1, 9, "requests", "100", "100m", "256Mi", "key")


@pytest.fixture(scope="module")
def installed(place: Place) -> Iterator[Place]:
    """The CRDs of both platforms, gone after these tests; a cluster that has them already has controllers of its own."""
    folder = os.environ.get(CONTRACTS)
    if not folder:
        pytest.fail(f"set {CONTRACTS} to a folder with the CRDs of Knative and KServe")
    files = [f"--filename={each}" for each in (Path(folder) / "knative", Path(folder) / "kserve")]
    made = subprocess.run(["kubectl", "create", *files], capture_output=True, text=True, check=False)
    try:
        assert made.returncode == 0, made.stderr
        # Just made they have no conditions, at which it gives up at once.
        wait = ["kubectl", "wait", "--for=condition=Established", "--timeout=10s", *files]
        until(lambda: subprocess.run(wait, capture_output=True, check=False).returncode == 0)
        yield place
    finally:
        if "AlreadyExists" not in made.stderr:
            subprocess.run(
                ["kubectl", "delete", "--ignore-not-found", *files], check=True, capture_output=True
            )


@pytest.fixture(params=["knative", "kserve"])
def target(
    request: pytest.FixtureRequest, installed: Place, environment: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Target]:
    """Each target; all of it is gone after the test."""
    with controllers(installed.namespace):
        made = open_target(Function.model_validate({"target": request.param}), tmp_path)
        made.prepare()
        yield made
        made.remove("shift")
    until(lambda: installed.kinds().total() == 0)


@pytest.mark.parametrize("platform", [Knative(), KServe()])
@pytest.mark.parametrize("shape", [Shape(0, 0), SHAPE])
def test_the_crd_knows_every_field(installed: Place, platform: Knative | KServe, shape: Shape) -> None:
    """Of what is made, and of what is made of that later: none is dropped, and none is of another type."""
    made = platform.put(None, MADE, shape)
    group, version = made["apiVersion"].split("/")
    plural = platform.resource.partition(".")[0]
    later = platform.put(made, Revision("shift", "8", "v8-ba9876543210", MADE.image), shape)
    for each in (made, later):
        answer = client.CustomObjectsApi().create_namespaced_custom_object(
            group, version, installed.namespace, plural, each, dry_run="All", field_validation="Strict"
        )
        assert kept(answer["spec"], each["spec"])


def kept(found: object, sent: object) -> bool:
    """Whether all that was sent is there."""
    if isinstance(sent, dict):
        return isinstance(found, dict) and all(
            name in found and kept(found[name], sent[name]) for name in sent
        )
    if isinstance(sent, list):
        return isinstance(found, list) and len(found) == len(sent) and all(map(kept, found, sent))
    return found == sent


def test_two_writers_lose_nothing(installed: Place, environment: pytest.MonkeyPatch) -> None:
    """Each reads, edits and writes the same Service, ten times: what one wrote is never undone by what the other had read."""
    api = Api(access.find(), installed.namespace)
    made = replace(MADE, function="contended")
    api.change(Knative.kind, "contended", lambda now: now or Knative().put(None, made, SHAPE))

    def write(tag: str) -> None:
        for _ in range(10):
            api.change(Knative.kind, "contended", lambda now: counted(now, tag))

    writers = [threading.Thread(target=write, args=(tag,)) for tag in ("one", "other")]
    try:
        for each in writers:
            each.start()
        for each in writers:
            each.join()
        found = api.get(Knative.kind, "contended")
        assert found is not None
        assert found["metadata"]["annotations"] == {"one": "10", "other": "10"}
    finally:
        api.delete(Knative.kind, "contended")


def counted(now: Object | None, tag: str) -> Object:
    """An object with one of its annotations a number higher."""
    assert now is not None
    annotations = now["metadata"].get("annotations", {})
    more = {**annotations, tag: str(int(annotations.get(tag, 0)) + 1)}
    return {**now, "metadata": {**now["metadata"], "annotations": more}}


@pytest.mark.parametrize("target", ["kserve"], indirect=True)
def test_the_open_inference_protocol_is_spoken(target: Target, make_function: MakeFunction) -> None:
    """As clients of KServe speak it, at the URL that is told (docs/targets.md)."""
    target.route("shift", target.put(make_function(1)))
    record = {"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [2.0]}
    url = f"{target.status('shift').url}/v2/models/shift/infer"
    answer = httpx.post(url, json={"inputs": [record]}, timeout=30, trust_env=False)
    assert answer.json()["outputs"][0]["data"] == [3.0]


def test_a_new_version_takes_over_step_by_step_and_another_is_taken_back(
    target: Target, installed: Place, environment: pytest.MonkeyPatch, make_function: MakeFunction
) -> None:
    """What is written at each step is admitted, what pods count is read past the API server, and no Revision is made of it."""
    environment.setattr(rollouts, "LOOK", 0.0)
    first = target.put(make_function(1))
    target.route("shift", first)
    second = target.put(make_function(2))
    before = revisions(installed)
    target.roll_out("shift", second, SOON.model_copy(update={"steps": (25, 50)}), "one")
    assert target.status("shift").live == first
    assert target.serving("shift") == first
    states = set()

    def promoted() -> bool:
        ask(target)
        told = target.take_step("shift")
        assert told.rollout is not None
        states.add((told.rollout.state, told.rollout.share, told.live))
        return told.rollout.over

    until(promoted)
    assert states == {("under way", 25, first), ("under way", 50, first), ("promoted", 100, second)}
    target.route("shift", second)
    assert target.serving("shift") == second
    assert revisions(installed) == before

    third = target.put(make_function(3))
    target.roll_out("shift", third, NEVER, "two")
    for action in ("pause", "resume", "abort"):
        told = target.steer("shift", action)
    assert told.rollout is not None
    assert (told.rollout.state, told.live) == ("aborted", second)
    target.route("shift", second)
    assert target.serving("shift") == second


def ask(target: Target) -> None:
    """Some requests, each by a connection of its own, so that both sides answer."""
    url = f"{target.status('shift').url}/predict"
    for _ in range(30):
        answer = httpx.post(
            url, json={"x": 1.0}, headers={"Connection": "close"}, timeout=30, trust_env=False
        )
        assert answer.is_success


def revisions(place: Place) -> set[str]:
    """The names of Knative's."""
    found = client.CustomObjectsApi().list_namespaced_custom_object(
        "serving.knative.dev", "v1", place.namespace, "revisions"
    )
    return {each["metadata"]["name"] for each in found["items"]}
