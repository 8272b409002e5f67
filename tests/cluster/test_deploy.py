"""deploy/ on a real API server: it takes all of it, and nobody has a right too many."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from kubernetes import client

from tests.cluster.stand import Cluster, built

pytestmark = [pytest.mark.cluster]


@pytest.mark.parametrize("folder", ["base", "functions", "overlays/example", "notebook", "reconciler"])
def test_the_api_server_takes_it(cluster: Cluster, folder: str) -> None:
    """`kubectl apply --dry-run=server` of each folder that the docs tell people to apply or to copy."""
    if shutil.which("kubectl") is None:
        pytest.fail("no kubectl on the path")
    text = built(folder, cluster.namespace)
    tried = subprocess.run(
        ["kubectl", "apply", "--dry-run=server", "-f", "-"], input=text, capture_output=True, check=False
    )
    assert tried.returncode == 0, tried.stderr.decode()
    assert tried.stdout.count(b"(server dry run)") == text.count(b"\nkind: ")


def may(cluster: Cluster, account: str, verb: str, resource: str, namespace: str | None = None) -> bool:
    """Whether the API server would let a service account of the tests' namespace do it, there or in another."""
    kind, _, part = resource.partition("/")
    review: Any = client.AuthorizationV1Api().create_subject_access_review(
        {
            "spec": {
                "user": f"system:serviceaccount:{cluster.namespace}:{account}",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "resourceAttributes": {
                    "namespace": namespace or cluster.namespace,
                    "verb": verb,
                    "resource": kind,
                    "subresource": part,
                },
            }
        }
    )
    return bool(review.status.allowed)


ALL = {
    (verb, resource)
    for verb in ("get", "list", "watch", "create", "patch", "delete", "deletecollection")
    for resource in (
        "pods", "pods/log", "pods/exec", "secrets", "configmaps", "services", "events", "serviceaccounts",
        "persistentvolumeclaims",
    )
}  # fmt: skip
_PODS = {(verb, "pods") for verb in ("get", "list", "watch", "create", "delete")}
GIVEN = {
    "penstock-job": set[tuple[str, str]](),
    "penstock-driver": _PODS | {("deletecollection", "pods")},
    "penstock-deployer": set[tuple[str, str]](),
    "penstock-airflow": _PODS
    | {("patch", "pods"), ("get", "pods/log"), ("get", "events"), ("list", "events")},
}


@pytest.mark.parametrize("account", GIVEN)
def test_an_account_may_do_this_and_nothing_else(cluster: Cluster, account: str) -> None:
    """A stage reads no secret and makes no pod unless it is a driver; no account has a right elsewhere."""
    assert {each for each in ALL if may(cluster, account, *each)} == GIVEN[account]
    assert not any(may(cluster, account, *each, namespace="default") for each in ALL)


def test_a_pod_with_a_privilege_is_not_admitted(cluster: Cluster) -> None:
    """The namespace enforces Pod Security's `restricted`."""
    container = {"name": "c", "image": "i", "securityContext": {"privileged": True}}
    pod = {"metadata": {"name": "privileged"}, "spec": {"containers": [container]}}
    with pytest.raises(client.ApiException, match="violates PodSecurity") as refused:
        cluster.core.create_namespaced_pod(cluster.namespace, pod)
    assert refused.value.status == 403


def test_the_network_policy_is_taken_and_not_tried(cluster: Cluster) -> None:
    """It is admitted as it stands; whether packets follow it is the cluster's network plugin's to show."""
    policy = client.NetworkingV1Api().read_namespaced_network_policy("penstock-pods", cluster.namespace)
    assert [port.port for port in policy.spec.ingress[0].ports] == [7078, 7079]
