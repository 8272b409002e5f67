"""How a pod ended: each cause is told apart by what the cluster says of it, and says what to change.

The statuses are what a real kubelet and scheduler wrote (tests/cluster makes them do it again).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException
from kubernetes.client import models as k8s

from penstock_airflow import deaths
from penstock_airflow.steps import RETRYABLE

_API = ApiClient()


def pod(**status: Any) -> k8s.V1Pod:
    """A pod with a status, given as the API's JSON has it."""
    found: k8s.V1Pod = _API._ApiClient__deserialize({"status": status}, "V1Pod")
    return found


def container(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "base", "state": state, "image": "i", "imageID": "", "ready": False, "restartCount": 0}]


@pytest.mark.parametrize(
    ("status", "kind", "message", "next_step"),
    [
        pytest.param(
            {"phase": "Failed", "containerStatuses": container(terminated={"exitCode": 137, "reason": "OOMKilled"})},
            "out-of-memory", "killed for want of memory", "resources={'train': {'memory': ...}}", id="memory",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume exceeds the limit"},
            "evicted", "Usage of EmptyDir volume exceeds the limit", "scratch", id="evicted",
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": container(terminated={"exitCode": 1, "reason": "Error"})},
            "crashed", "exit code 1", "log", id="crashed",
        ),
        pytest.param(
            {"phase": "Failed", "containerStatuses": container(terminated={"exitCode": 7, "reason": "Error"})},
            "store", "without an answer", "log", id="store",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "containerStatuses": container(waiting={"reason": "ImagePullBackOff", "message": "not found"}),
            },
            "image", "ImagePullBackOff: not found", "penstock image build", id="image",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "containerStatuses": container(
                    waiting={"reason": "CreateContainerConfigError", "message": 'secret "penstock-job" not found'}
                ),
            },
            "pod", 'secret "penstock-job" not found', "[penstock]", id="secret",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}
                ],
            },
            "unschedulable", "Insufficient cpu", "ask for less", id="unschedulable",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "message": "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
                    }
                ],
            },
            "unschedulable", "untolerated taint", "kubectl describe nodes", id="tainted",
        ),
        pytest.param({"phase": "Unknown"}, "lost", "phase Unknown", "run again", id="lost"),
    ],
)  # fmt: skip
def test_each_cause_is_told_apart(status: dict[str, Any], kind: str, message: str, next_step: str) -> None:
    """Kind, the cluster's own words, and what to do."""
    found = deaths.of("train", pod(**status), {"status": "failed", "message": "m"})
    assert found is not None
    assert found.kind == kind
    assert found.message is not None
    assert found.next_step is not None
    assert message in found.message
    assert next_step in found.next_step
    assert (kind in RETRYABLE) == (kind in ("evicted", "crashed", "store", "lost"))


def test_a_pod_that_ended_well_is_no_death() -> None:
    """Its outcome says the rest."""
    ended = pod(
        phase="Succeeded", containerStatuses=container(terminated={"exitCode": 0, "reason": "Completed"})
    )
    assert deaths.of("train", ended, {"status": "success"}) is None


@pytest.mark.parametrize(
    ("message", "kind", "next_step"),
    [
        ('pods "x" is forbidden: exceeded quota: penstock, requested: requests.cpu=900', "quota", "raise the quota"),
        ('pods is forbidden: User "a" cannot create resource "pods"', "pod", "deploy/base"),
    ],
)  # fmt: skip
def test_a_pod_that_the_cluster_does_not_take(message: str, kind: str, next_step: str) -> None:
    """The API server's own sentence; a quota that is used up may have room later, a missing right will not."""
    error = ApiException(status=403, reason="Forbidden")
    error.body = json.dumps({"message": message})
    found = deaths.refused("train", error)
    assert found.kind == kind
    assert message in str(found.message)
    assert next_step in str(found.next_step)
    assert (kind in RETRYABLE) == (kind == "quota")
