"""Knative's Revisions of a function: what is known of each, and why one is not ready.

https://github.com/knative/specs/blob/main/specs/serving/knative-api-specification-1.0.md#revision
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from penstock.targets import RevisionStatus, TargetError
from penstock.targets.kubernetes import manifests, trouble
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.owned import annotation, label, oldest_first
from penstock.targets.kubernetes.trouble import Trouble
from penstock.targets.serverless.platform import condition

KIND: Final = "KnativeRevision"
RESOURCE: Final = "revisions.serving.knative.dev"


class Revisions:
    """Those of one namespace, in whose pods `container` is the function."""

    def __init__(self, api: Api, container: str) -> None:
        self._api = api
        self._container = container

    def find(self, labels: Mapping[str, str]) -> list[Object]:
        """Those that have all of these labels, the oldest first."""
        return oldest_first(self._api.find(KIND, labels))

    def of(self, name: str, revision: str) -> list[Object]:
        """Those of one of ours, the oldest first; none where there is none."""
        found = self.find(manifests.of_revision(name, revision))
        return [each for each in found if annotation(each, manifests.REVISION) == revision]

    def known(self, name: str, revision: str) -> list[Object]:
        """The same. Raises TargetError (404) where there is none."""
        found = self.of(name, revision)
        if not found:
            raise TargetError(f"{name} has no revision {revision}", next_step="deploy it first", status=404)
        return found

    def delete(self, names: Iterable[str]) -> None:
        """Take some away; one that is not there is no error."""
        for name in names:
            self._api.delete(KIND, name)

    def trouble(self, revision: Object) -> Trouble | None:
        """What keeps a Revision from being ready, in the words of its pods, else in Knative's; None where nothing is known to."""
        return self._trouble(revision, self._pods(revision["metadata"]["name"]))

    def _trouble(self, revision: Object, pods: list[Object]) -> Trouble | None:
        def printed(pod: str, previous: bool) -> list[str]:
            return self._api.printed(pod, self._container, 20, previous=previous)

        deployments = self._api.find("Deployment", _of(revision["metadata"]["name"]))
        found = trouble.of(next(iter(deployments), {}), pods, printed)
        if found is None and (ready := condition(revision, "Ready")).get("status") == "False":
            said = ready.get("message") or ready.get("reason", "it does not say why")
            return Trouble(said, "see the Revision's conditions", lasting=True)
        return found

    def state(self, revision: Object, *, live: bool) -> RevisionStatus:
        """What is known of a revision; `live`: callers get to it."""
        pods = self._pods(revision["metadata"]["name"])
        staying = [pod for pod in pods if not trouble.is_going(pod)]
        ready, found = condition(revision, "Ready").get("status"), None
        if any(trouble.is_ready(pod) for pod in staying):
            state = "ready"
        elif staying or ready != "True":
            found = self._trouble(revision, pods)
            state = "backoff" if found is not None and found.lasting else "starting"
        elif pods:
            state = "draining"
        else:
            state = "idle" if live else "stopped"
        return RevisionStatus(
            revision=annotation(revision, manifests.REVISION),
            version=label(revision, "app.kubernetes.io/version"),
            state=state,
            restarts=trouble.restarts(pods),
            error=None if found is None else found.reason,
        )

    def _pods(self, revision: str) -> list[Object]:
        return self._api.find("Pod", _of(revision))


def _of(revision: str) -> dict[str, str]:
    """The label of what Knative made for a Revision."""
    return {"serving.knative.dev/revision": revision}
