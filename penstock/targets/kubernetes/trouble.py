"""Why a revision's pods are not ready, in the cluster's own words: what will not mend by itself, and what may."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Object = Mapping[str, Any]

#: Why a container waits, where waiting longer does not help.
_NO_IMAGE: Final = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_NO_CONTAINER: Final = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_CRASHES: Final = "CrashLoopBackOff"
#: The runtime's exit codes for a package that it refuses, and where a request hangs (penstock_function).
_REFUSED: Final = 3
_HANGS: Final = 4
#: What crashes so often will do so again.
_CRASHED: Final = 3


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a revision, what to do, and whether waiting is of no use. `crashes`: it is started again and again."""

    reason: str
    next_step: str
    lasting: bool
    crashes: bool = False


def is_ready(pod: Object) -> bool:
    """Whether a pod takes requests."""
    conditions = pod["status"].get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def is_going(pod: Object) -> bool:
    """Whether a pod has been told to end."""
    return "deletionTimestamp" in pod["metadata"]


def restarts(pods: Iterable[Object]) -> int:
    """How often containers of these pods were started again."""
    statuses = (each for pod in pods for each in pod["status"].get("containerStatuses") or [])
    return sum(each.get("restartCount", 0) for each in statuses)


def of(
    deployment: Object, pods: Sequence[Object], printed: Callable[[str, bool], list[str]]
) -> Trouble | None:
    """What keeps a Deployment from being ready; None where nothing is known to.

    `printed` has the last lines of a pod's container, or of the one before it, as the API server gives them.
    """
    for condition in deployment.get("status", {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            said = condition.get("message", condition.get("reason", ""))
            # Quotas and Pod Security forbid; what else is wrong the controller tries again.
            return Trouble(
                f"no pod can be made: {said}",
                "raise the namespace's quota, or see what it admits",
                lasting="forbidden" in said,
            )
    found = [
        trouble
        for pod in pods
        if not is_ready(pod) and not is_going(pod) and (trouble := _of_pod(pod, printed)) is not None
    ]
    return next((each for each in found if each.lasting), next(iter(found), None))


def _of_pod(pod: Object, printed: Callable[[str, bool], list[str]]) -> Trouble | None:
    status = pod["status"]
    for container in status.get("containerStatuses") or []:
        waiting = container.get("state", {}).get("waiting") or {}
        now = container.get("state", {}).get("terminated")
        ended = now or container.get("lastState", {}).get("terminated")
        why, said = waiting.get("reason", ""), waiting.get("message", "")
        if why in _NO_IMAGE:
            return Trouble(
                f"its image cannot be pulled: {why}: {said}",
                "see that the nodes reach the registry, and that the namespace's default service account may pull from it",
                lasting=True,
            )
        if why in _NO_CONTAINER:
            return Trouble(
                f"its container cannot be made: {why}: {said}", "see the pod's events", lasting=True
            )
        if ended is not None:
            lines = printed(pod["metadata"]["name"], now is None)
            return _of_end(ended, container.get("restartCount", 0), why == _CRASHES, lines)
    if status.get("reason") == "Evicted":
        return Trouble(f"a pod was evicted: {status.get('message')}", "free the node", lasting=False)
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Trouble(
                f"no node takes it: {condition.get('message')}",
                "give the cluster a node that has room, or ask for less: PENSTOCK_KUBERNETES_CPU, PENSTOCK_KUBERNETES_MEMORY",
                lasting=False,
            )
    return None


def _of_end(ended: Object, restarted: int, crashes: bool, lines: Sequence[str]) -> Trouble:
    code, why = ended.get("exitCode"), ended.get("reason")
    if why == "OOMKilled":
        return Trouble(
            "it was killed for want of memory", "give it more: PENSTOCK_KUBERNETES_MEMORY", True, crashes
        )
    last = _last_words(lines)
    if code == _REFUSED:
        return Trouble(last, "build the package again with `register`, or see whose keys are trusted", True)
    if code == _HANGS:
        return Trouble(last, "see which of its steps hangs: penstock logs", True, crashes)
    return Trouble(
        f"it ended with exit code {code} ({why}): {last}",
        "see that PENSTOCK_KUBERNETES_IMAGE, or that of the kind, is the function image of this release",
        lasting=restarted >= _CRASHED,
        crashes=crashes,
    )


def _last_words(lines: Sequence[str]) -> str:
    """The reason that the runtime gave for its end, else the last line that it printed."""
    said = [line.partition(" ")[2] for line in lines]  # less its time
    for line in reversed(said):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "reason" in found:
            return str(found["reason"])
    return next((line for line in reversed(said) if line.strip()), "it printed nothing")
