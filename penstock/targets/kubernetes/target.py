"""Functions as Deployments behind Services.

A revision is a Deployment that never changes its package: an image with it, by digest. The live name is a Service that
selects one revision's pods; moving it is one write. Pods of the old revision answer on until the nodes have followed,
and until what they have in hand is answered; a revision that is not live costs nothing, and comes back within seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from penstock.spec.function import Function
from penstock.targets import RevisionStatus, Status, TargetError
from penstock.targets.asking import polls
from penstock.targets.kubernetes import access, manifests, settings, trouble
from penstock.targets.kubernetes.answers import revision_in, told
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.manifests import Revision
from penstock.targets.kubernetes.owned import annotation, oldest_first, ours
from penstock.targets.kubernetes.settings import Settings
from penstock.targets.package_image import append
from penstock.targets.sending import as_json, contents

_PLATFORM: Final = "Kubernetes"
#: For a revision to be ready: a node may have to come first, and the image to it.
_READY_SECONDS: Final = 300.0
#: Revisions that stay beside the live one and the one before it: the newest.
OTHERS: Final = 3
#: For the cluster to have followed a service that has moved.
_MOVED_SECONDS: Final = 60.0


class KubernetesTarget:
    """The functions of one namespace."""

    def __init__(self, api: Api, given: Settings) -> None:
        self._api = api
        self._given = given
        self._shape = given.shape

    def prepare(self) -> None:
        """See that the API server answers us, and lets us see what is there."""
        self._api.find("Deployment", manifests.of_function("none"))

    def put(self, package: Path) -> str:
        """Have the revision of the package in folder `package` run, ready; what fails is taken away. See `Target`."""
        found = contents(package)
        name, revision = found.manifest.name, found.revision
        manifests.check(found.manifest)
        objects = manifests.object_name(name)
        policy = self._ours("NetworkPolicy", objects, name)
        before = self._ours("Deployment", manifests.revision_name(name, revision), name)
        image = append(found, self._given.image(found.manifest.runtime), self._given.repository(name))
        made = Revision(name, found.manifest.version, revision, image)
        try:
            self._api.apply(manifests.network_policy(name))
            self._run(made)
            self._await_ready(made.function, made.revision)
        except TargetError:
            with suppress(TargetError):  # why it failed is what must be told
                self._undo(made, before, with_policy=policy is None)
            raise
        return revision

    def route(self, name: str, revision: str) -> None:
        """Have the live name's service select `revision`, once that is ready; then end the others, and take old ones away.

        See `Target`.
        """
        deployment = self._ours("Deployment", manifests.revision_name(name, revision), name)
        if deployment is None or annotation(deployment, manifests.REVISION) != revision:
            raise TargetError(
                f"{name} has no revision {revision} on Kubernetes", next_step="deploy it first", status=404
            )
        service = self._ours("Service", manifests.object_name(name), name)
        live = None if service is None else annotation(service, manifests.REVISION)
        # It takes over at the size that what serves has been scaled to.
        serving = next(
            (each for each in self._deployments(name) if annotation(each, manifests.REVISION) == live), None
        )
        self._scale(deployment, self._size(_replicas(deployment), _replicas(serving)))
        self._await_ready(name, revision)
        if service is not None and live == revision:
            before = annotation(service, manifests.BEFORE)
        else:
            before = live or ""
            self._api.apply(manifests.service(name, revision, before, datetime.now(UTC).isoformat()))
        self._await_moved(name, revision)
        deployments = self._deployments(name)
        for each in deployments:
            if annotation(each, manifests.REVISION) != revision:
                self._scale(each, 0)
        with suppress(TargetError):  # it is live: what is left, the next one takes away
            for each in old(deployments, {revision, before}):
                self._api.delete("Deployment", each["metadata"]["name"])

    def attach(self, name: str) -> None:
        """The cluster knows no events. See `Target`."""

    def invoke(self, name: str, payload: Any) -> Any:
        """The live revision's answer to `payload`, by way of the API server. See `Target`."""
        answer = self._api.ask(manifests.object_name(name), "POST", "predict", as_json(name, payload))
        return told(_PLATFORM, name, answer)

    def serving(self, name: str) -> str:
        """The revision that answers behind the live name, as it says itself. See `Target`."""
        return revision_in(_PLATFORM, name, self._api.ask(manifests.object_name(name), "GET", "health"))

    def status(self, name: str) -> Status:
        """What the cluster holds of the function. See `Target`."""
        deployments = self._deployments(name)
        service = self._ours("Service", manifests.object_name(name), name)
        if not deployments and service is None:
            raise TargetError(f"no function {name} on Kubernetes", next_step="deploy it first", status=404)
        pods = self._api.find("Pod", manifests.of_function(name))
        return Status(
            name=name,
            url=self._url(name),
            live=None if service is None else annotation(service, manifests.REVISION),
            since=None if service is None else annotation(service, manifests.SINCE),
            revisions=tuple(self._state(each, pods) for each in deployments),
        )

    def curl(self, url: str) -> str:
        """A request of /predict. See `Target`."""
        return f"curl -s {url}/predict"

    def logs(self, name: str, lines: int = 100) -> list[str]:
        """The last `lines` lines that the live revision's pods printed, each with its time. See `Target`."""
        service = self._ours("Service", manifests.object_name(name), name)
        if service is None:
            raise TargetError(
                f"no function {name} is live on Kubernetes", next_step="deploy it first", status=404
            )
        pods = self._api.find("Pod", service["spec"]["selector"])
        return self._api.last_printed(pods, manifests.CONTAINER, lines)

    def remove(self, name: str) -> None:
        """Take the function away, its live name first. Its images stay in the registry. See `Target`."""
        objects = manifests.object_name(name)
        if self._ours("Service", objects, name) is not None:
            self._api.delete("Service", objects)
        for each in self._deployments(name):
            self._api.delete("Deployment", each["metadata"]["name"])
        if self._ours("NetworkPolicy", objects, name) is not None:
            self._api.delete("NetworkPolicy", objects)

    # -- how ------------------------------------------------------------------------------------------------

    def _run(self, made: Revision) -> None:
        """Have the revision's Deployment there with all that belongs to it, of no fewer pods than is asked for."""
        owner = self._api.apply(manifests.deployment(made, self._shape))
        for each in manifests.bounds(made, self._shape, owner):
            self._api.apply(each)
        if self._shape.metric is None:
            self._api.delete("HorizontalPodAutoscaler", made.name)
        self._scale(owner, self._size(_replicas(owner)))

    def _undo(self, made: Revision, before: Object | None, *, with_policy: bool) -> None:
        """Have all as it was before a revision was put."""
        if before is None:
            self._api.delete("Deployment", made.name)
            if with_policy:
                self._api.delete("NetworkPolicy", manifests.object_name(made.function))
            return
        image = before["spec"]["template"]["spec"]["containers"][0]["image"]
        old = Revision(made.function, made.version, made.revision, image)
        self._scale(self._api.apply(manifests.deployment(old, self._shape)), _replicas(before))

    def _size(self, *replicas: int) -> int:
        """As many pods as the most of these, within what is asked for."""
        return min(max(self._shape.least, *replicas), self._shape.most)

    def _scale(self, deployment: Object, replicas: int) -> None:
        if _replicas(deployment) == replicas:
            return
        self._api.merge("Deployment", deployment["metadata"]["name"], {"spec": {"replicas": replicas}})

    def _await_ready(self, name: str, revision: str) -> None:
        """Wait until all pods of a revision take requests. Raises TargetError with what keeps them from it."""
        found = None
        for _ in polls(_READY_SECONDS):
            deployment = self._api.get("Deployment", manifests.revision_name(name, revision))
            if deployment is None:
                raise TargetError(
                    f"{revision} of {name} was taken away meanwhile", next_step="deploy it again"
                )
            if _is_rolled_out(deployment):
                return
            pods = self._api.find("Pod", manifests.of_revision(name, revision))
            found = trouble.of(deployment, pods, self._printed)
            if found is not None and found.lasting:
                break
        why = found.reason if found else "it did not say why"
        raise TargetError(
            f"{revision} of {name} did not become ready on Kubernetes: {why}",
            next_step=found.next_step
            if found
            else f"see its pods: kubectl -n {self._api.namespace} describe pods",
        )

    def _await_moved(self, name: str, revision: str) -> None:
        """Wait until the live name leads to the pods of `revision` and no others, as the cluster and an answer have it."""
        last: TargetError | None = None
        for _ in polls(_MOVED_SECONDS):
            try:
                if self._leads_to(name, revision) and self.serving(name) == revision:
                    return
            except TargetError as error:  # no pod behind the name yet
                last = error
        raise TargetError(
            f"the live name {name} does not lead to {revision} after {_MOVED_SECONDS:g} s"
            + (f": {last.message}" if last else ""),
            next_step="see that the cluster's controllers run, then run again",
        )

    def _leads_to(self, name: str, revision: str) -> bool:
        slices = self._api.find("EndpointSlice", {"kubernetes.io/service-name": manifests.object_name(name)})
        behind = {
            end["targetRef"]["name"]
            for each in slices
            for end in each.get("endpoints") or []
            if end.get("conditions", {}).get("ready") is not False
        }
        pods = self._api.find("Pod", manifests.of_revision(name, revision))
        ready = {
            pod["metadata"]["name"] for pod in pods if trouble.is_ready(pod) and not trouble.is_going(pod)
        }
        return bool(ready) and behind == ready

    def _state(self, deployment: Object, pods: list[Object]) -> RevisionStatus:
        """What a revision's Deployment and pods say of it."""
        short = deployment["metadata"]["labels"][manifests.SHORT]
        own = [pod for pod in pods if pod["metadata"]["labels"].get(manifests.SHORT) == short]
        state, found = "ready", None
        if not _replicas(deployment):
            state = "draining" if own else "stopped"
        elif not deployment.get("status", {}).get("availableReplicas"):
            found = trouble.of(deployment, own, self._printed)
            state = "backoff" if found is not None and found.crashes else "starting"
        return RevisionStatus(
            revision=annotation(deployment, manifests.REVISION),
            version=deployment["metadata"]["labels"]["app.kubernetes.io/version"],
            state=state,
            restarts=trouble.restarts(own),
            error=None if found is None else found.reason,
        )

    def _printed(self, pod: str, previous: bool) -> list[str]:
        return self._api.printed(pod, manifests.CONTAINER, 20, previous=previous)

    def _deployments(self, name: str) -> list[Object]:
        """Those of a function's revisions, the oldest first."""
        return oldest_first(self._api.find("Deployment", manifests.of_function(name)))

    def _ours(self, kind: str, name: str, function: str) -> Object | None:
        return ours(self._api, kind, name, function)

    def _url(self, name: str) -> str:
        template = self._given.url or f"http://{{name}}.{self._api.namespace}.svc"
        return template.replace("{name}", manifests.object_name(name)).rstrip("/")


def open_kubernetes(_: Function, __: Path) -> KubernetesTarget:
    """The namespace PENSTOCK_KUBERNETES_NAMESPACE of the cluster that this is a pod of, or a kubeconfig names. Raises TargetError."""
    given = settings.read()
    return KubernetesTarget(Api(access.find(), given.namespace), given)


def old(deployments: Sequence[Object], kept: Collection[str]) -> list[Object]:
    """Of a function's Deployments, the oldest first, those to take away: neither of a revision that is `kept` nor of the newest."""
    others = [each for each in deployments if annotation(each, manifests.REVISION) not in kept]
    return others[: max(len(others) - OTHERS, 0)]


def _is_rolled_out(deployment: Object) -> bool:
    """Whether its pods are all there, of its newest template alone, and take requests (as `kubectl rollout status` has it)."""
    status, wanted = deployment.get("status", {}), _replicas(deployment)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return False
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    return wanted > 0 and all(status.get(each, 0) == wanted for each in counts)


def _replicas(deployment: Object | None) -> int:
    return 0 if deployment is None else int(deployment["spec"].get("replicas", 0))
