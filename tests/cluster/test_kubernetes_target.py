"""Functions on Kubernetes itself: the contract of all targets, a switch under load, and what the cluster refuses.

All of it is done by an account with the rights of deploy/functions and no others, in a namespace that enforces `restricted`.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from kubernetes import client

from penstock.spec.function import Function
from penstock.targets import Target, TargetError, open_target
from penstock.targets.kubernetes import access
from penstock.targets.kubernetes import deployments as module
from penstock.targets.oci.reference import Reference
from penstock.targets.package_image import append
from penstock.targets.sending import contents
from tests.cluster.functions import Place, function_image
from tests.cluster.stand import BASE_IMAGE, registry
from tests.jobs.small_packages import linear_bundle, package
from tests.penstock.conftest import MakeFunction

# The contract's cases, on the target below.
from tests.penstock.targets.test_contract import (  # noqa: F401
    test_a_command_line_asks_it,
    test_a_folder_that_is_no_package,
    test_a_function_from_its_package_to_its_removal,
    test_a_package_that_fails_its_proof_leaves_all_as_it_was,
    test_a_record_that_does_not_fit_names_its_column,
    test_the_same_package_twice_is_one_revision,
    test_two_functions_do_not_mix,
    test_what_is_not_there_is_a_404,
)
from tests.servers import free_port, until

pytestmark = [pytest.mark.cluster]


@pytest.fixture
def target(place: Place, environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Target]:
    """The target, whose functions callers find by `kubectl proxy`; all of it is gone after the test."""
    with proxy() as url:
        services = f"{url}/api/v1/namespaces/{place.namespace}/services"
        environment.setenv("PENSTOCK_KUBERNETES_URL", f"{services}/{{name}}:http/proxy")
        made = open_target(Function(target="kubernetes"), tmp_path)
        made.prepare()
        yield made
        for name in ("shift", "shift-back"):
            made.remove(name)
    until(lambda: place.kinds().total() == 0)


@contextmanager
def proxy() -> Iterator[str]:
    """The API server on loopback, as whoever KUBECONFIG says."""
    port = free_port()
    process = subprocess.Popen(["kubectl", "proxy", f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def again(environment: pytest.MonkeyPatch, tmp_path: Path, **settings: str) -> Target:
    """The target by other settings."""
    for name, value in settings.items():
        environment.setenv(f"PENSTOCK_{name}", value)
    return open_target(Function(target="kubernetes"), tmp_path)


# -- images -------------------------------------------------------------------------------------------------------


def test_a_real_registry_takes_over_what_is_below(
    place: Place,
    environment: pytest.MonkeyPatch,
    make_function: MakeFunction,
) -> None:
    """Into a repository that was not there, without sending it: the same digest again, and another repository's too."""
    package = contents(make_function(1))
    fresh = f"{registry()}/fresh-{secrets.token_hex(3)}"
    image = append(package, place.image, fresh)
    assert append(package, place.image, fresh) == image
    assert append(package, place.image, f"{fresh}-2").partition("@")[2] == image.partition("@")[2]
    found = Reference.parse(image)
    url = f"http://{found.host}/v2/{found.repository}/manifests/{found.version}"
    accepted = (
        "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    )
    manifest = httpx.get(url, headers={"Accept": accepted}).json()
    assert manifest["layers"][-1]["size"] < 50_000 < sum(each["size"] for each in manifest["layers"][:-1])


# -- kinds --------------------------------------------------------------------------------------------------------


def test_a_function_of_the_kind_mleap_has_its_own_image(
    target: Target, environment: pytest.MonkeyPatch, tmp_path: Path, make_function: MakeFunction
) -> None:
    """It answers as its samples do, and takes over from a function of the other kind, and back."""
    bundled = package(
        tmp_path / "package",
        linear_bundle({"x": 2.0}),
        {"x": "double"},
        ([{"x": 1.0}], [{"prediction": 2.0}]),
        name="shift",
        version="2",
    )
    first = target.put(make_function(1))
    target.route("shift", first)
    with pytest.raises(
        TargetError, match="of the kind mleap, and PENSTOCK_KUBERNETES_MLEAP_IMAGE is not set"
    ):
        target.put(bundled)
    target = again(environment, tmp_path, KUBERNETES_MLEAP_IMAGE=function_image("function-mleap"))
    second = target.put(bundled)
    target.route("shift", second)
    assert target.serving("shift") == second
    assert target.invoke("shift", {"x": 3.0})["prediction"] == 6.0
    asked = httpx.post(f"{target.status('shift').url}/predict", json={"x": 1.0}, trust_env=False)
    assert asked.json()["prediction"] == 2.0
    target.route("shift", first)
    assert target.invoke("shift", {"x": 3.0})["prediction"] == 4.0


# -- switching ----------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """Callers that ask the live name until they are told to stop: some on one connection, some on a new one each time."""

    url: str
    answers: Counter[str]
    failures: list[str]
    over: threading.Event

    def ask(self, keeps: bool) -> None:
        """One caller."""
        kept = httpx.Client(timeout=10, trust_env=False)
        while not self.over.is_set():
            try:
                answer = kept.post(
                    self.url, json={"x": 2.0}, headers={} if keeps else {"Connection": "close"}
                )
                self.answers[answer.json()["version"]] += 1
                if answer.status_code != 200 or answer.json()["prediction"] != 2.0 + int(
                    answer.json()["version"]
                ):
                    self.failures.append(answer.text)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                self.failures.append(repr(error))
            time.sleep(0.01)


def answers(url: str) -> bool:
    """Whether anybody does."""
    try:
        return httpx.get(url, timeout=10, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def load(place: Place, name: str) -> Iterator[Load]:
    """Four callers of a function's service, once the node leads there."""
    service = place.core.read_namespaced_service(name, place.namespace)
    made = Load(f"http://{service.spec.cluster_ip}/predict", Counter(), [], threading.Event())
    until(lambda: answers(f"http://{service.spec.cluster_ip}/health"))
    callers = [threading.Thread(target=made.ask, args=(keeps,)) for keeps in (True, False) * 2]
    for each in callers:
        each.start()
    try:
        yield made
    finally:
        made.over.set()
        for each in callers:
            each.join()


def test_a_switch_under_load_loses_no_request(
    place: Place,
    target: Target,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    make_function: MakeFunction,
) -> None:
    """There and, once the old pods have drained and gone, back: each request gets the answer of one version or the other."""
    target = again(environment, tmp_path, KUBERNETES_REPLICAS="2")
    first = target.put(make_function(1))
    target.route("shift", first)
    second = target.put(make_function(2))
    with load(place, "shift") as asked:
        until(lambda: asked.answers["1"] > 50)
        target.route("shift", second)
        until(lambda: asked.answers["2"] > 50)
        status = {each.revision: each.state for each in target.status("shift").revisions}
        assert status == {first: "draining", second: "ready"}
        until(lambda: not place.pods(first))
        target.route("shift", first)
        told = asked.answers["1"]
        until(lambda: asked.answers["1"] > told + 50)
    assert asked.failures == []
    assert asked.answers.total() > 500


def test_a_revision_that_cannot_run_is_refused_with_the_clusters_reason_and_the_old_one_serves(
    place: Place,
    target: Target,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    make_function: MakeFunction,
) -> None:
    """No node for it, no room in the quota, nothing that runs in its image: what it made is gone, and no request failed."""
    first = target.put(make_function(1))
    target.route("shift", first)
    before = place.kinds()
    with load(place, "shift") as asked:
        hungry = again(environment, tmp_path, KUBERNETES_CPU="999")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_READY_SECONDS", 5.0)
            with pytest.raises(
                TargetError, match=r"no node takes it: .*Insufficient cpu.*PENSTOCK_KUBERNETES_CPU"
            ):
                hungry.put(make_function(2))

        quota = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "1"}}}
        place.core.create_namespaced_resource_quota(place.namespace, quota)
        try:
            until(
                lambda: bool(place.core.read_namespaced_resource_quota("full", place.namespace).status.hard)
            )
            with pytest.raises(TargetError, match=r"no pod can be made: .*exceeded quota"):
                target.put(make_function(2))
        finally:
            place.core.delete_namespaced_resource_quota("full", place.namespace)

        base = os.environ.get(BASE_IMAGE, "docker.io/library/python:3.11-slim-bookworm")
        with pytest.raises(TargetError, match=r"did not become ready on Kubernetes: "):
            again(environment, tmp_path, KUBERNETES_CPU="50m", KUBERNETES_IMAGE=base).put(make_function(2))
    assert asked.failures == []
    assert asked.answers.keys() == {"1"}
    assert place.kinds() == before
    assert [each.revision for each in target.status("shift").revisions] == [first]


def test_old_revisions_are_taken_away_once_another_is_live(
    place: Place,
    target: Target,
    environment: pytest.MonkeyPatch,
    make_function: MakeFunction,
) -> None:
    """The live one and the one before it stay, here without others, whichever are newer; with one go its bounds."""
    environment.setattr(module, "OTHERS", 0)
    first, second = (target.put(make_function(number)) for number in (1, 2))
    target.route("shift", second)
    assert [each.revision for each in target.status("shift").revisions] == [second]
    target.route("shift", target.put(make_function(1)))
    assert {each.revision for each in target.status("shift").revisions} == {first, second}
    third = target.put(make_function(3))
    target.route("shift", third)
    assert {each.revision for each in target.status("shift").revisions} == {first, third}
    until(lambda: place.kinds()["PodDisruptionBudget"] == 2)


# -- what is there ------------------------------------------------------------------------------------------------


def test_pods_are_admitted_where_pod_security_is_restricted_and_are_nobody(
    place: Place,
    target: Target,
    make_function: MakeFunction,
) -> None:
    """The very image by digest, without a token, on a root that cannot be written."""
    revision = target.put(make_function(1))
    (pod,) = place.staying(revision)
    (container,) = pod.spec.containers
    assert "@sha256:" in container.image
    assert pod.spec.automount_service_account_token is False
    assert container.volume_mounts is None
    assert container.security_context.read_only_root_filesystem is True


def test_budget_policy_and_autoscaler_are_admitted_and_not_tried(
    place: Place,
    target: Target,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    make_function: MakeFunction,
) -> None:
    """A cluster of one node without metrics and without a plugin for policies cannot show what they do."""
    target = again(environment, tmp_path, KUBERNETES_REPLICAS="1-3", KUBERNETES_SCALE_ON="requests=100")
    revision = target.put(make_function(1))
    target.route("shift", revision)
    one = ("Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler")
    assert place.kinds() == dict.fromkeys(one, 1)
    (scaler,) = client.AutoscalingV2Api().list_namespaced_horizontal_pod_autoscaler(place.namespace).items
    assert (scaler.spec.min_replicas, scaler.spec.max_replicas) == (1, 3)
    deployment = scaler.spec.scale_target_ref.name
    client.AppsV1Api().patch_namespaced_deployment_scale(
        deployment, place.namespace, {"spec": {"replicas": 2}}
    )
    target.put(make_function(1))
    assert len(place.staying(revision)) == 2, "the autoscaler's number stays"


def test_what_somebody_else_named_so_is_left_alone(
    place: Place,
    target: Target,
    make_function: MakeFunction,
) -> None:
    """A service that is not ours, and a function whose name is ours but for its letters."""
    target.put(make_function(1))
    service = {"metadata": {"name": "shift"}, "spec": {"ports": [{"port": 1}]}}
    place.core.create_namespaced_service(place.namespace, service)
    try:
        with pytest.raises(TargetError, match=r"the Service shift .* belongs to nobody that we know"):
            target.status("shift")
    finally:
        place.core.delete_namespaced_service("shift", place.namespace)
    with pytest.raises(TargetError, match="belongs to the function shift, and Shift needs that name"):
        target.put(make_function(1, "Shift"))


def test_what_a_function_printed_is_read_back(
    target: Target,
    make_function: MakeFunction,
) -> None:
    """Of its pods' logs, the newest last, and no more lines than were asked for."""
    target.route("shift", target.put(make_function(1)))
    printed = target.logs("shift")
    assert any('"event":"ready"' in line for line in printed)
    assert target.logs("shift", 1) == printed[-1:]


def test_the_deployer_may_do_this_and_nothing_else(place: Place) -> None:
    """It reads no secret, and looks into no pod."""
    account = f"system:serviceaccount:{place.namespace}:penstock-deployer"
    for verb, resource in (
        ("get", "secrets"), ("list", "secrets"), ("create", "pods"), ("create", "pods/exec"), ("create", "rolebindings"),
        ("get", "configmaps"), ("create", "serviceaccounts/token"), ("create", "pods/proxy"), ("get", "pods/exec"),
    ):  # fmt: skip
        kind, _, part = resource.partition("/")
        where = {"namespace": place.namespace, "verb": verb, "resource": kind, "subresource": part}
        review = {"spec": {"user": account, "resourceAttributes": where}}
        assert not client.AuthorizationV1Api().create_subject_access_review(review).status.allowed


def test_a_service_account_deploys_without_a_kubeconfig(
    place: Place,
    target: Target,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    make_function: MakeFunction,
) -> None:
    """By the files that a pod has, and without the library that the job image has not."""
    found = yaml.safe_load(Path(place.kubeconfig).read_text())
    cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
    server, account = httpx.URL(cluster["server"]), tmp_path / "account"
    account.mkdir()
    (account / "token").write_text(user["token"])
    (account / "ca.crt").write_bytes(authority(cluster))
    environment.delenv("KUBECONFIG")
    environment.setenv("KUBERNETES_SERVICE_HOST", server.host)
    environment.setenv("KUBERNETES_SERVICE_PORT", str(server.port or 443))
    environment.setattr(access, "_ACCOUNT", account)
    environment.setitem(sys.modules, "kubernetes", None)
    in_pod = open_target(Function(target="kubernetes"), tmp_path)
    in_pod.route("shift", in_pod.put(make_function(1)))
    assert in_pod.invoke("shift", {"x": 2.0})["prediction"] == 3.0


def authority(cluster: dict[str, str]) -> bytes:
    """Whom a kubeconfig trusts."""
    data = cluster.get("certificate-authority-data")
    return base64.b64decode(data) if data else Path(cluster["certificate-authority"]).read_bytes()


def test_who_has_no_rights_is_told_which(
    place: Place,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """In another namespace than that of functions."""
    with pytest.raises(TargetError, match=r"403: .*cannot list.*deploy/functions in default") as caught:
        again(environment, tmp_path, KUBERNETES_NAMESPACE="default").prepare()
    assert caught.value.status == 403
