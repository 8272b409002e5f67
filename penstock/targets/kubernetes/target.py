"""Functions as Deployments behind Services.

A revision is a Deployment that never changes its package: an image with it, by digest. The live name is a Service that
selects one revision's pods; moving it is one write. Pods of the old revision answer on until the nodes have followed,
and until what they have in hand is answered; a revision that is not live costs nothing, and comes back within seconds.
In a rollout (`penstock.targets.kubernetes.rollouts`) the Service selects two revisions' pods, or a Gateway has two Services.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from penstock.spec.function import Function
from penstock.targets import Status, TargetError
from penstock.targets.asking import polls
from penstock.targets.kubernetes import access, manifests, settings, trouble
from penstock.targets.kubernetes.answers import revision_in, told
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.deployments import Deployments, old, replicas
from penstock.targets.kubernetes.live import answering, moved, serving, watch_of
from penstock.targets.kubernetes.manifests import Live, Revision
from penstock.targets.kubernetes.owned import annotation, ours
from penstock.targets.kubernetes.rolling import Deployed
from penstock.targets.kubernetes.rollouts import RolledOut, Rollouts
from penstock.targets.kubernetes.services import Services
from penstock.targets.kubernetes.settings import Settings
from penstock.targets.package_image import append
from penstock.targets.sending import as_json, contents

_PLATFORM: Final = "Kubernetes"
#: For the cluster to have followed a service that has moved.
_MOVED_SECONDS: Final = 60.0


class KubernetesTarget(RolledOut):
    """The functions of one namespace."""

    def __init__(self, api: Api, given: Settings) -> None:
        self._api = api
        self._given = given
        self._live = Services(api, given)
        self._deployments = Deployments(api, given.shape)
        self._rollouts = Rollouts(api, self._live, Deployed(api, given, self._deployments))

    def prepare(self) -> None:
        """See that the API server answers us, and lets us see what is there."""
        self._api.find("Deployment", manifests.of_function("none"))

    def put(self, package: Path) -> str:
        """Have the revision of the package in folder `package` run, ready; what fails is taken away. See `Target`."""
        found = contents(package)
        name, revision = found.manifest.name, found.revision
        manifests.check(found.manifest)
        objects = manifests.object_name(name)
        policy = ours(self._api, "NetworkPolicy", objects, name)
        before = self._deployments.find(name, revision)
        live = self._live.find(name)
        if live and revision in serving(live) - {live.revision}:
            return revision  # it has proved itself, and how many pods it has is the rollout's
        image = append(found, self._given.image(found.manifest.runtime), self._given.repository(name))
        traffic = self._traffic(name, revision, live)
        made = Revision(name, found.manifest.version, revision, image, traffic)
        try:
            self._api.apply(manifests.network_policy(name))
            self._deployments.run(made)
            self._deployments.await_ready(made.function, made.revision)
        except TargetError:
            with suppress(TargetError):  # why it failed is what must be told
                self._undo(made, before, with_policy=policy is None)
            raise
        return revision

    def route(self, name: str, revision: str) -> None:
        """Have the live name's service select `revision`, once that is ready; then end the others, and take old ones away.

        A rollout ends with that, unless it is beside that very revision. See `Target`.
        """
        deployment = self._deployments.known(name, revision)
        live = self._live.find(name)
        if live and live.revision == revision and len(serving(live)) > 1:
            return
        # It takes over at the size that what serves has been scaled to.
        before = self._deployments.find(name, live.revision) if live else None
        self._deployments.scale(deployment, self._deployments.size(replicas(deployment), replicas(before)))
        self._deployments.await_ready(name, revision)
        routed = self._live.change(name, lambda now: moved(now, revision))
        self._live.lead(name)
        self._await_moved(name, revision)
        # Somebody else may have moved it since: what serves is not ended.
        now = self._live.find(name)
        others = self._deployments.end_others(name, serving(now) if now else {revision})
        with suppress(TargetError):  # it is live: what is left, the next one takes away
            for each in old(others, {revision, routed.before}):
                self._api.delete("Deployment", each["metadata"]["name"])

    def attach(self, name: str) -> None:
        """The cluster knows no events. See `Target`."""

    def invoke(self, name: str, payload: Any) -> Any:
        """The live revision's answer to `payload`, by way of the API server. See `Target`."""
        answer = self._api.ask(manifests.object_name(name), "POST", "predict", as_json(name, payload))
        return told(_PLATFORM, name, answer)

    def serving(self, name: str) -> str:
        """The revision that answers behind the live name, as it says itself; in a rollout the live one answers in turn. See `Target`."""
        return answering(
            self._live.find(name),
            lambda: revision_in(_PLATFORM, name, self._api.ask(manifests.object_name(name), "GET", "health")),
        )

    def status(self, name: str) -> Status:
        """What the cluster holds of the function. See `Target`."""
        deployments = self._deployments.of_function(name)
        live = self._live.find(name)
        if not deployments and live is None:
            raise TargetError(f"no function {name} on Kubernetes", next_step="deploy it first", status=404)
        pods = self._api.find("Pod", manifests.of_function(name))
        watch = watch_of(live)
        lost: list[str] = []
        if live and len(serving(live)) == 1:
            lost = self._live.lost(name, live)
            of_live = next(
                (each for each in deployments if annotation(each, manifests.REVISION) == live.revision), None
            )
            if of_live is not None and not replicas(of_live):
                lost.append(f"the Deployment of {live.revision} is to have no pods")
        return Status(
            name=name,
            url=self._live.url(name),
            live=live.revision if live else None,
            since=live.since if live else None,
            revisions=tuple(self._deployments.state(each, pods) for each in deployments),
            lost=tuple(lost),
            rollout=watch.status() if watch else None,
        )

    def curl(self, url: str) -> str:
        """A request of /predict. See `Target`."""
        return f"curl -s {url}/predict"

    def logs(self, name: str, lines: int = 100) -> list[str]:
        """The last `lines` lines that the live revision's pods printed, each with its time. See `Target`."""
        live = self._live.find(name)
        if live is None:
            raise TargetError(
                f"no function {name} is live on Kubernetes", next_step="deploy it first", status=404
            )
        pods = self._api.find("Pod", manifests.of_revision(name, live.revision))
        return self._api.last_printed(pods, manifests.CONTAINER, lines)

    def remove(self, name: str) -> None:
        """Take the function away, its live name first. Its images stay in the registry. See `Target`."""
        self._live.remove(name)
        for each in self._deployments.of_function(name):
            self._api.delete("Deployment", each["metadata"]["name"])
        objects = manifests.object_name(name)
        if ours(self._api, "NetworkPolicy", objects, name) is not None:
            self._api.delete("NetworkPolicy", objects)

    # -- how ------------------------------------------------------------------------------------------------

    def _traffic(self, name: str, revision: str, live: Live | None) -> str | None:
        """The value of TRAFFIC that a revision's pods are put with: what those that serve have already, and none of theirs for others."""
        champion = self._deployments.find(name, live.revision) if live else None
        taken = manifests.traffic_of(champion) if champion else None
        if live and live.revision == revision:
            return taken
        own = revision[-12:]
        return f"{own}-2" if own == taken else own

    def _undo(self, made: Revision, before: Object | None, *, with_policy: bool) -> None:
        """Have all as it was before a revision was put."""
        if before is not None:
            self._deployments.restore(before)
            return
        live = self._live.find(made.function)
        if live and made.revision in serving(live):
            return  # some of its pods may answer
        self._api.delete("Deployment", made.name)
        if with_policy:
            self._api.delete("NetworkPolicy", manifests.object_name(made.function))

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


def open_kubernetes(_: Function, __: Path) -> KubernetesTarget:
    """The namespace PENSTOCK_KUBERNETES_NAMESPACE of the cluster that this is a pod of, or a kubeconfig names. Raises TargetError."""
    given = settings.read()
    return KubernetesTarget(Api(access.find(), given.namespace), given)
