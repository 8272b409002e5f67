"""The Deployments of a function's revisions: run, scaled, waited for, and what keeps one from being ready."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from penstock.targets import RevisionStatus, TargetError
from penstock.targets.asking import polls
from penstock.targets.kubernetes import manifests, trouble
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.manifests import Revision, Shape
from penstock.targets.kubernetes.owned import annotation, label, oldest_first, ours
from penstock.targets.kubernetes.trouble import Trouble

#: For a revision to be ready: a node may have to come first, and the image to it.
_READY_SECONDS: Final = 300.0
#: Revisions that stay beside the live one and the one before it: the newest.
OTHERS: Final = 3


class Deployments:
    """Those of one namespace, of pods of one shape."""

    def __init__(self, api: Api, shape: Shape) -> None:
        self._api = api
        self._shape = shape

    def of_function(self, name: str) -> list[Object]:
        """Those of a function's revisions, the oldest first."""
        return oldest_first(self._api.find("Deployment", manifests.of_function(name)))

    def find(self, name: str, revision: str) -> Object | None:
        """That of a revision; None where there is none. Raises TargetError where it is another function's."""
        return ours(self._api, "Deployment", manifests.revision_name(name, revision), name)

    def known(self, name: str, revision: str) -> Object:
        """That of a revision. Raises TargetError (404) where there is none."""
        found = self.find(name, revision)
        if found is None or annotation(found, manifests.REVISION) != revision:
            raise TargetError(
                f"{name} has no revision {revision} on Kubernetes", next_step="deploy it first", status=404
            )
        return found

    def run(self, made: Revision) -> Object:
        """Have a revision's Deployment there with all that belongs to it, of no fewer pods than is asked for."""
        owner = self._api.apply(manifests.deployment(made, self._shape))
        for each in manifests.bounds(made, self._shape, owner):
            self._api.apply(each)
        if self._shape.metric is None:
            self._api.delete("HorizontalPodAutoscaler", made.name)
        self.scale(owner, self.size(replicas(owner)))
        return owner

    def restore(self, before: Object) -> None:
        """Have a Deployment as it was."""
        self.scale(
            self._api.apply(manifests.deployment(manifests.revision_of(before), self._shape)),
            replicas(before),
        )

    def size(self, *numbers: int) -> int:
        """As many pods as the most of these, within what is asked for."""
        return min(max((self._shape.least, *numbers)), self._shape.most)

    def scale(self, deployment: Object, number: int) -> None:
        """Have so many pods of it."""
        if replicas(deployment) != number:
            self._api.merge("Deployment", deployment["metadata"]["name"], {"spec": {"replicas": number}})

    def end_others(self, name: str, kept: Collection[str]) -> list[Object]:
        """Have no pods of a function's revisions but those that are `kept`; the Deployments of the others, the oldest first."""
        others = [each for each in self.of_function(name) if annotation(each, manifests.REVISION) not in kept]
        for each in others:
            self.scale(each, 0)
        return others

    def await_ready(self, name: str, revision: str) -> None:
        """Wait until all pods of a revision take requests. Raises TargetError with what keeps them from it."""
        found = None
        for _ in polls(_READY_SECONDS):
            deployment = self._api.get("Deployment", manifests.revision_name(name, revision))
            if deployment is None:
                raise TargetError(
                    f"{revision} of {name} was taken away meanwhile", next_step="deploy it again"
                )
            if is_whole(deployment):
                return
            found = self.trouble(deployment, self._api.find("Pod", manifests.of_revision(name, revision)))
            if found is not None and found.lasting:
                break
        why = found.reason if found else "it did not say why"
        raise TargetError(
            f"{revision} of {name} did not become ready on Kubernetes: {why}",
            next_step=found.next_step
            if found
            else f"see its pods: kubectl -n {self._api.namespace} describe pods",
        )

    def trouble(self, deployment: Object, pods: Sequence[Object]) -> Trouble | None:
        """What keeps a Deployment with these pods from being ready; None where nothing is known to."""
        return trouble.of(deployment, pods, self._printed)

    def state(self, deployment: Object, pods: Iterable[Object]) -> RevisionStatus:
        """What a revision's Deployment and pods say of it."""
        own = own_pods(deployment, pods)
        state, found = "ready", None
        if not replicas(deployment):
            state = "draining" if own else "stopped"
        elif not deployment.get("status", {}).get("availableReplicas"):
            found = self.trouble(deployment, own)
            state = "backoff" if found is not None and found.crashes else "starting"
        return RevisionStatus(
            revision=annotation(deployment, manifests.REVISION),
            version=label(deployment, "app.kubernetes.io/version"),
            state=state,
            restarts=trouble.restarts(own),
            error=None if found is None else found.reason,
        )

    def _printed(self, pod: str, previous: bool) -> list[str]:
        return self._api.printed(pod, manifests.CONTAINER, 20, previous=previous)


def own_pods(deployment: Object, pods: Iterable[Object]) -> list[Object]:
    """Which of a function's pods are a Deployment's."""
    short = label(deployment, manifests.SHORT)
    return [pod for pod in pods if label(pod, manifests.SHORT) == short]


def old(deployments: Sequence[Object], kept: Collection[str]) -> list[Object]:
    """Of a function's Deployments, the oldest first, those to take away: neither of a revision that is `kept` nor of the newest."""
    others = [each for each in deployments if annotation(each, manifests.REVISION) not in kept]
    return others[: max(len(others) - OTHERS, 0)]


def is_whole(deployment: Object) -> bool:
    """Whether its pods are all there, of its newest template alone, and take requests (as `kubectl rollout status` has it)."""
    status, wanted = deployment.get("status", {}), replicas(deployment)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return False
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    return wanted > 0 and all(status.get(each, 0) == wanted for each in counts)


def replicas(deployment: Object | None) -> int:
    """How many pods of it are wanted."""
    return 0 if deployment is None else int(deployment["spec"].get("replicas", 0))
