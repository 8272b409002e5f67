"""How a pod ended whose job left no outcome: the causes told apart, each with what to change.

What may mend by itself is retried (penstock_airflow.steps.RETRYABLE); the rest would only fail again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock.work import Outcome

if TYPE_CHECKING:
    from kubernetes.client import ApiException
    from kubernetes.client import models as k8s

#: Why a container waits, where waiting longer does not help.
_NO_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_NO_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_KILLED = 137  # 128 + SIGKILL
_ASK_FOR_LESS = "ask for less in the stage's resources, or give the cluster a node that has it"
#: The scheduler's sentence does not always name the taint, and stages may not read nodes.
_TOLERATE = (
    "see the taint (kubectl describe nodes): a node that was full or not ready loses its own some minutes "
    "after it is well again; another needs tolerations in the stage's resources"
)


def of(stage: str, pod: k8s.V1Pod, event: Mapping[str, Any]) -> Outcome | None:
    """Why a stage's pod ended, or never began; None where it ended well."""
    status, container = pod.status, _container(pod)
    ended = container.state.terminated if container and container.state else None
    waiting = container.state.waiting if container and container.state else None
    if status.reason == "Evicted":
        return _outcome(
            "evicted",
            f"the pod of stage {stage} was evicted: {status.message}",
            "free the node, or give Airflow's [penstock] scratch and the stage's resources what it needs",
        )
    if ended is not None and ended.exit_code == 0:
        return None
    if ended is not None and (ended.reason == "OOMKilled" or ended.exit_code == _KILLED):
        return _outcome(
            "out-of-memory",
            f"the pod of stage {stage} was killed for want of memory ({ended.reason}, exit code {ended.exit_code})",
            f"give the stage more: resources={{'{stage}': {{'memory': ...}}}}",
        )
    if ended is not None:
        return Outcome.unanswered(
            stage, ended.exit_code, f"in its pod with exit code {ended.exit_code} ({ended.reason})"
        )
    if waiting is not None and waiting.reason in _NO_IMAGE:
        return _outcome(
            "image",
            f"the image of stage {stage} cannot be pulled: {waiting.reason}: {waiting.message}",
            "see that the registry has it and the service account may pull from there, or build it: penstock image build",
        )
    if waiting is not None and waiting.reason in _NO_CONFIG:
        return _outcome(
            "pod",
            f"the container of stage {stage} cannot be made: {waiting.reason}: {waiting.message}",
            "see that the secret and service account of Airflow's section [penstock] are there",
        )
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return _outcome(
                "unschedulable",
                f"no node takes the pod of stage {stage}: {condition.message}",
                _TOLERATE if "taint" in (condition.message or "") else _ASK_FOR_LESS,
            )
    if event.get("status") == "success":
        return None
    return _outcome(
        "lost",
        f"the pod of stage {stage} was given up in phase {status.phase}: {event.get('message')}",
        "see the pod's events and its node, then run again: what was done is kept",
    )


def refused(stage: str, error: ApiException) -> Outcome:
    """The cluster did not take the pod: its quota is used up, or Airflow may not make one."""
    said = _said(error)
    if "exceeded quota" in said:
        return _outcome(
            "quota",
            f"the quota of the namespace has no room for the pod of stage {stage}: {said}",
            "wait for other pods to end, ask for less in the stage's resources, or raise the quota",
        )
    return _outcome(
        "pod",
        f"the cluster refused the pod of stage {stage}: {said}",
        "see Airflow's section [penstock] and the rights of its service account (deploy/base)",
    )


def gone(stage: str) -> Outcome:
    """The pod is not there any more: its node was lost, or it was deleted."""
    return _outcome(
        "lost",
        f"the pod of stage {stage} is gone: its node was lost, or somebody deleted it",
        "run again: what was done is kept",
    )


def without_a_word(stage: str) -> Outcome:
    """The pod ended well and its job left no answer in the store."""
    return _outcome(
        "crashed",
        f"the job of stage {stage} ended without an answer in the store",
        "see that the pod's secret names the same store as Airflow (PENSTOCK_STORE)",
    )


def _said(error: ApiException) -> str:
    """The API server's own sentence."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _container(pod: k8s.V1Pod) -> k8s.V1ContainerStatus | None:
    return next(iter(pod.status.container_statuses or []), None)


def _outcome(kind: str, message: str, next_step: str) -> Outcome:
    return Outcome(state="failed", kind=kind, message=message, next_step=next_step)
