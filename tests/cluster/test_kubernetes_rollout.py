"""Rollouts on Kubernetes: real pods behind a real Service, asked all the time, with a registry; who follows is killed, and comes again.

Shares by pods are seen as callers see them. There is no Gateway here: its HTTPRoute is held against the CRDs by a real API server,
and requests are dealt by the test.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client

from penstock.promotion import Promotion
from penstock.registry import ROLLOUT, ROLLOUT_BECAUSE
from penstock.rollout.record import RolloutStatus
from penstock.spec.function import Function
from penstock.targets import TargetError, open_target
from penstock.targets.kubernetes import rollouts
from tests.cluster.functions import Place
from tests.penstock.conftest import (  # noqa: F401 (fixtures)
    MakeFunction,
    project,
    shift,
    shop,
)
from tests.penstock.rolling import FAR, NEVER, SOON, breaking, promote
from tests.penstock.shop import Shop
from tests.servers import until

pytestmark = [pytest.mark.cluster]


@dataclass(frozen=True)
class OnCluster(Shop):
    """The shop, whose function is on the cluster."""

    target: Any = None

    @property
    def promotion(self) -> Promotion:
        return Promotion(self.settings, "shift", "shift", self.target, self.registry)

    @property
    def rollout(self) -> RolloutStatus:
        """As it is, without a step."""
        found = self.target.status("shift").rollout
        assert isinstance(found, RolloutStatus)
        return found


@pytest.fixture
def selling(
    place: Place,
    shop: Shop,  # noqa: F811
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[OnCluster]:
    """The shop with one version live, of one pod; looks follow each other soon."""
    environment.setattr(rollouts, "LOOK", 0.5)
    target = open_target(Function(target="kubernetes"), tmp_path)
    made = OnCluster(shop.settings, shop.make_function, target)
    made.promote()
    yield made
    target.remove("shift")
    until(lambda: place.kinds().total() == 0)


@contextmanager
def callers(place: Place) -> Iterator[Counter[str]]:
    """Who answers two callers that open a connection each time: versions, and what was no answer by its status."""
    url = f"http://{place.core.read_namespaced_service('shift', place.namespace).spec.cluster_ip}/predict"
    answers, over = Counter[str](), threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                found = httpx.post(
                    url, json={"x": FAR}, headers={"Connection": "close"}, timeout=10, trust_env=False
                )
                answers[found.json()["version"] if found.is_success else str(found.status_code)] += 1
            except httpx.HTTPError as error:
                answers[repr(error)] += 1
            time.sleep(0.01)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for each in threads:
        each.start()
    try:
        yield answers
    finally:
        over.set()
        for each in threads:
            each.join()


def champion(at: Shop) -> str:
    found = at.registry.champion("shift")
    assert found is not None
    return found.version


def test_a_bad_version_goes_back_and_a_good_one_goes_through_whoever_follows(
    place: Place, selling: OnCluster
) -> None:
    """By pods of both behind one Service. Whoever followed the bad one was killed: reconcile takes it back, and enters why. A good one,
    whose follower was killed too, is promoted by the same promotion made again; no request of it failed.
    """
    bad = breaking(selling)
    assert promote(selling, bad, SOON.model_copy(update={"requests": 10**9}), killed=True) is None
    with callers(place) as answers:
        until(lambda: answers["500"] > 20 and answers["1"] > 20)
        until(lambda: selling.promotion.reconcile() is not None and selling.rollout.over)
        told = answers["500"]
        until(lambda: not place.staying(selling.rollout.revision))
        serving = answers["1"]
        until(lambda: answers["1"] > serving + 50)
    assert answers["500"] - told <= 30, "nodes follow within moments"
    assert answers.keys() == {"1", "500"}
    assert (champion(selling), selling.rollout.state) == ("1", "worse")
    found = selling.registry.version("shift", bad)
    assert found is not None
    selling.promotion.reconcile()
    assert found.tags[ROLLOUT] == "worse"
    assert found.tags[ROLLOUT_BECAUSE].startswith("errors: ")

    good = selling.register()
    plan = SOON.model_copy(update={"requests": 100})
    assert promote(selling, good, plan, killed=True, run="good") is None
    with callers(place) as answers:
        live = promote(selling, good, plan, run="good")
        told = answers[good]
        until(lambda: answers[good] > told + 50)
    assert answers.keys() == {"1", good}
    assert live is not None
    assert live.canary is not None
    assert live.canary.passed
    assert (live.version, champion(selling)) == (good, good)
    assert len(place.staying(live.revision)) == 1


def test_rollback_ends_one_that_is_under_way(place: Place, selling: OnCluster) -> None:
    """Before it was judged: the old version has all requests, and the registry is told."""
    version = selling.register()
    promote(selling, version, NEVER, killed=True)
    with callers(place) as answers:
        until(lambda: answers[version] > 10)
        kept = selling.promotion.abort_rollout()
        assert kept is not None
        assert kept.version == "1"
        until(lambda: not place.staying(selling.rollout.revision))
    assert answers.keys() == {"1", version}
    assert champion(selling) == "1"
    few = NEVER.model_copy(update={"steps": (5,)})
    with pytest.raises(TargetError, match="no number of pods gives a share near 5 %, at the least 50 %"):
        selling.target.roll_out("shift", selling.rollout.revision, few, "another")


# -- by a Gateway -------------------------------------------------------------------------------------------------


@pytest.fixture
def gateway_api(place: Place) -> Iterator[None]:
    """Its CRDs, gone after the test; a cluster that has them already keeps them."""
    folder = os.environ.get("PENSTOCK_CONTRACTS")
    if not folder:
        pytest.fail("set PENSTOCK_CONTRACTS to a folder with gateway-api/*.yaml, the CRDs of the Gateway API")
    files = f"--filename={Path(folder) / 'gateway-api'}"
    made = subprocess.run(["kubectl", "create", files], capture_output=True, text=True, check=False)
    try:
        assert made.returncode == 0 or "AlreadyExists" in made.stderr, made.stderr
        wait = ["kubectl", "wait", "--for=condition=Established", "--timeout=10s", files]
        until(lambda: subprocess.run(wait, capture_output=True, check=False).returncode == 0)
        yield
    finally:
        if "AlreadyExists" not in made.stderr:
            subprocess.run(["kubectl", "delete", "--wait=false", files], capture_output=True, check=False)


def test_an_http_route_is_admitted_at_every_step_while_the_test_deals_requests(
    place: Place,
    gateway_api: None,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    make_function: MakeFunction,
) -> None:
    """In the shadow, at a share, and after the end: no Gateway follows it here, so it is the test that asks either Service."""
    environment.setattr(rollouts, "LOOK", 0.0)
    environment.setenv("PENSTOCK_KUBERNETES_PARENT_GATEWAY", "gateways/public")
    environment.setenv("PENSTOCK_KUBERNETES_URL", "https://functions.example/{name}")
    target = open_target(Function(target="kubernetes"), tmp_path)
    first, second = (target.put(make_function(number)) for number in (1, 2))
    target.route("shift", first)
    assert rule(place)["backendRefs"] == [backend("shift", 100)]
    plan = SOON.model_copy(update={"shadow": 20, "steps": (5,), "requests": 20})
    target.roll_out("shift", second, plan, "run")
    beside = f"shift-{second[-12:]}"
    try:
        (mirror,) = (each["requestMirror"] for each in rule(place)["filters"] if "requestMirror" in each)
        assert mirror["backendRef"] == {"group": "", "kind": "Service", "name": beside, "port": 80}
        ask(place, "shift", beside)
        target.take_step("shift")
        assert rule(place)["backendRefs"] == [backend("shift", 95), backend(beside, 5)]
        ask(place, "shift", beside)
        until(lambda: target.take_step("shift").rollout.state == "promoted")  # type: ignore[union-attr]
        assert rule(place)["backendRefs"] == [backend("shift", 100)]
        assert target.status("shift").live == second
    finally:
        target.remove("shift")
    until(lambda: place.kinds().total() == 0)


def rule(place: Place) -> Any:
    """Of the function's route, as the API server has it."""
    custom = client.CustomObjectsApi()
    route = custom.get_namespaced_custom_object(
        "gateway.networking.k8s.io", "v1", place.namespace, "httproutes", "shift"
    )
    return route["spec"]["rules"][0]


def backend(service: str, weight: int) -> dict[str, Any]:
    """As the API server fills it in."""
    return {"group": "", "kind": "Service", "name": service, "port": 80, "weight": weight}


def ask(place: Place, *services: str) -> None:
    """Thirty requests of each, once a node leads there."""
    for service in services:
        url = f"http://{place.core.read_namespaced_service(service, place.namespace).spec.cluster_ip}/predict"
        until(partial(answers, url))
        for _ in range(30):
            assert answers(url)


def answers(url: str) -> bool:
    """Whether a record is answered there."""
    try:
        return httpx.post(url, json={"x": 1.0}, timeout=10, trust_env=False).is_success
    except httpx.HTTPError:
        return False
