"""The two revisions of a rollout as Knative's: how many pods each has is the platform's, down to none."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.rollout.record import Record, State
from penstock.spec.rollout import Rollout
from penstock.targets import TargetError
from penstock.targets.kubernetes import manifests, trouble
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.live import LiveNames
from penstock.targets.kubernetes.manifests import Live
from penstock.targets.rolling import check_plan
from penstock.targets.serverless.platform import Platform, all_to
from penstock.targets.serverless.revisions import Revisions


class Revised:
    """Those of the functions of one namespace. See `penstock.targets.kubernetes.rollouts.Sides`."""

    def __init__(self, api: Api, platform: Platform, revisions: Revisions, live: LiveNames) -> None:
        self._api = api
        self._platform = platform
        self._revisions = revisions
        self._live = live

    def begin(self, name: str, live: Live, revision: str, plan: Rollout) -> tuple[Rollout, str]:
        """Both are there, as they were put, and shares are as planned. See `Sides`."""
        faults = []
        if plan.shadow:
            faults.append("nobody copies requests: take shadow out")
        if plan.sticky:
            faults.append("who deals requests knows no callers: take sticky out")
        check_plan(self._platform.title, plan, faults)
        self._revisions.known(name, revision)
        champion = {each["metadata"]["name"] for each in self._revisions.known(name, live.revision)}
        found = self._api.get(self._platform.kind, manifests.object_name(name))
        if found is None or all_to(self._platform.traffic(found)) not in champion:
            raise TargetError(
                f"{self._platform.title} sends requests of {name} elsewhere than to {live.revision}, which is live",
                next_step="bring that up to date first: penstock reconcile",
                status=409,
            )
        if (fault := self.fault(name, revision, ())) is not None:
            raise TargetError(
                f"{revision} of {name} cannot be rolled out: {fault[1]}",
                next_step="put it again: penstock run PIPELINE --force deploy",
                status=409,
            )
        return plan, ""

    def check(self, live: Live) -> None:
        """From anywhere. See `Sides`."""

    def fault(self, name: str, revision: str, pods: Sequence[Object]) -> tuple[State, str] | None:
        """Where it is not there, or its pods cannot run; that there are none is no fault. See `Sides`."""
        known = self._revisions.of(name, revision)
        found = self._api.get(self._platform.kind, manifests.object_name(name))
        if not known or found is None:
            return "aborted", "its Revision was taken away"
        if not self._platform.can_share(found, known):
            return "aborted", f"another one took its place in the {self._platform.kind}"
        if any(trouble.is_ready(pod) for pod in pods):
            return None
        why = self._revisions.trouble(known[-1])
        return ("worse", f"its pods do not run: {why.reason}") if why is not None and why.lasting else None

    def is_whole(self, name: str, live: Live, revision: str) -> bool:
        """As soon as it is asked. See `Sides`."""
        return True

    def await_whole(self, name: str, live: Live, revision: str) -> None:
        """As soon as it is asked, where it can run. See `Sides`."""
        pods = self._api.find("Pod", manifests.of_revision(name, revision))
        if (fault := self.fault(name, revision, pods)) is not None:
            raise TargetError(f"{revision} of {name} cannot take all requests: {fault[1]}")

    def follow(self, name: str, live: Live, record: Record) -> None:
        """The platform does. See `Sides`."""

    def end(self, name: str, revision: str) -> None:
        """Nobody names it any more, so that the platform ends its pods. See `Sides`."""
        self._live.lead(name)
