"""The two revisions of a rollout as Deployments: requests are split by a Gateway, or by how many pods each side has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from penstock.rollout.record import Record, State
from penstock.spec.rollout import Rollout
from penstock.targets import TargetError
from penstock.targets.asking import polls
from penstock.targets.kubernetes import manifests, trouble
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.deployments import Deployments, is_whole, own_pods, replicas
from penstock.targets.kubernetes.manifests import Live
from penstock.targets.kubernetes.owned import ours
from penstock.targets.kubernetes.rollouts import MOST_PODS
from penstock.targets.kubernetes.settings import PARENT_GATEWAY, REPLICAS, SCALE_ON, Settings
from penstock.targets.rolling import check_plan

#: How much more than its planned share the candidate may get where pods give no less.
_ROUNDED: Final = 1.5
#: For pods of older revisions to end.
_PATIENCE: Final = 60.0


class Deployed:
    """Those of the functions of one namespace. See `penstock.targets.kubernetes.rollouts.Sides`."""

    def __init__(self, api: Api, given: Settings, deployments: Deployments) -> None:
        self._api = api
        self._given = given
        self._deployments = deployments

    def begin(self, name: str, live: Live, revision: str, plan: Rollout) -> tuple[Rollout, str]:
        """With the candidate's pods beside the champion's. See `Sides`."""
        candidate = self._deployments.known(name, revision)
        champion = self._deployments.known(name, live.revision)
        planned = fitted(plan, self._given, replicas(champion))
        # One that ended, and whoever followed it died: none of its pods may take part in this one.
        self._alone(name, {live.revision, revision})
        traffic = self._make_room(champion, candidate, planned)
        self._deployments.await_ready(name, revision)
        return planned, traffic

    def check(self, live: Live) -> None:
        """We must be told which Gateway, where one deals the requests. See `Sides`."""
        if not live.traffic and self._given.parent is None:
            raise TargetError(
                "a Gateway deals the requests of this rollout", next_step=f"set {PARENT_GATEWAY} here, too"
            )

    def fault(self, name: str, revision: str, pods: Sequence[Object]) -> tuple[State, str] | None:
        """Where it is not there, or its pods cannot run. See `Sides`."""
        candidate = self._deployments.find(name, revision)
        if candidate is None:
            return "aborted", "its Deployment was taken away"
        why = self._deployments.trouble(candidate, pods)
        if why is not None and why.lasting and not is_whole(candidate):
            return "worse", f"its pods do not run: {why.reason}"
        return None

    def is_whole(self, name: str, live: Live, revision: str) -> bool:
        """With as many pods as the champion. See `Sides`."""
        candidate = self._deployments.known(name, revision)
        size = self._whole(name, live, candidate)
        self._deployments.scale(candidate, size)
        return replicas(candidate) == size and is_whole(candidate)

    def await_whole(self, name: str, live: Live, revision: str) -> None:
        """With as many pods as the champion. See `Sides`."""
        candidate = self._deployments.known(name, revision)
        self._deployments.scale(candidate, self._whole(name, live, candidate))
        self._deployments.await_ready(name, revision)

    def follow(self, name: str, live: Live, record: Record) -> None:
        """As many pods as the share needs, where these are what splits requests. See `Sides`."""
        champion = self._deployments.find(name, live.revision)
        candidate = self._deployments.known(name, record.revision)
        for each in (champion, candidate):
            if each is not None and not replicas(each):  # somebody took its pods away
                self._deployments.scale(each, self._deployments.size())
        if not live.traffic:
            self._api.apply(manifests.revision_service(manifests.revision_of(candidate), candidate))
        else:
            # Never fewer: shares rise, and one that is to have all of them has been given more pods already.
            self._deployments.scale(
                candidate, max(replicas(candidate), beside(record.share, replicas(champion)))
            )

    def end(self, name: str, revision: str) -> None:
        """It has no pods. See `Sides`."""
        candidate = self._deployments.find(name, revision)
        if candidate is not None:
            self._deployments.scale(candidate, 0)

    # -- how ------------------------------------------------------------------------------------------------

    def _make_room(self, champion: Object, candidate: Object, plan: Rollout) -> str:
        """Have the candidate's pods as the first step needs them; the value of TRAFFIC by which a service has both sides' pods."""
        made = manifests.revision_of(candidate)
        if self._given.parent is not None:
            ours(self._api, "Service", made.name, made.function)
            self._api.apply(manifests.revision_service(made, candidate))
            self._deployments.scale(candidate, self._deployments.size(replicas(candidate)))
            return ""
        traffic = manifests.traffic_of(champion)
        if traffic is None:
            raise TargetError(
                f"the live revision of {made.function} was put by an earlier release",
                next_step="bring it up to date first: penstock reconcile",
                status=409,
            )
        # Before the template: then no more pods are made anew than stay.
        self._deployments.scale(candidate, beside(plan.stages[0], replicas(champion)))
        self._api.apply(manifests.deployment(replace(made, traffic=traffic), self._given.shape))
        return traffic

    def _alone(self, name: str, kept: set[str]) -> None:
        """Have no pods but those of these revisions."""
        others = self._deployments.end_others(name, kept)
        for _ in polls(_PATIENCE):
            pods = [
                pod for pod in self._api.find("Pod", manifests.of_function(name)) if not trouble.is_going(pod)
            ]
            if not any(own_pods(each, pods) for each in others):
                return
        raise TargetError(
            f"pods of older revisions of {name} do not end",
            next_step="see that the cluster's controllers run, then run again",
        )

    def _whole(self, name: str, live: Live, candidate: Object) -> int:
        """How many pods the candidate must have to take all requests."""
        champion = self._deployments.find(name, live.revision)
        return self._deployments.size(replicas(candidate), replicas(champion))


# -- by how many pods -----------------------------------------------------------------------------------------


def beside(share: int, pods: int) -> int:
    """How many pods give a share in percent beside so many of the champion's, as near as can be: one at least, and as many at most.

    The champion keeps all of its pods, so that going back waits for none; so a half is the most that a step gives.
    """
    return min(max(round(pods * share / (100 - share)), 1), pods)


def had(step: int, pods: int) -> int:
    """The share that pods give for a step, both in percent."""
    own = beside(step, pods)
    return round(100 * own / (pods + own))


def fitted(plan: Rollout, given: Settings, pods: int) -> Rollout:
    """The plan as this cluster can have it beside so many pods. Raises TargetError where that is not what was asked for."""
    faults = []
    if plan.sticky:
        faults.append("sticky needs who deals requests to know callers: take it out")
    if given.shape.most > MOST_PODS:
        faults.append(f"{REPLICAS} is more than {MOST_PODS}, which are asked at each look: take fewer")
    if given.parent is None:
        if plan.shadow:
            faults.append(
                f"shadow needs a Gateway that copies requests: set {PARENT_GATEWAY}, or take it out"
            )
        if given.shape.metric:
            faults.append(
                f"shares are numbers of pods, which {SCALE_ON} changes: set {PARENT_GATEWAY}, or a fixed number of pods"
            )
        coarse = [step for step in plan.steps if had(step, pods) > step * _ROUNDED]
        if coarse:
            shares = sorted({had(step, pods) for step in range(1, 100)})
            least = next(more for more in range(1, 1000) if had(coarse[0], more) <= coarse[0] * _ROUNDED)
            faults.append(
                f"beside {pods} of the live version no number of pods gives a share near {coarse[0]} %, at the least {shares[0]} %:"
                f" take steps among {shares}, {least} pods ({REPLICAS}), or set {PARENT_GATEWAY}"
            )
    check_plan("Kubernetes", plan, faults)
    if given.parent is not None:
        return plan
    return plan.model_copy(update={"steps": tuple(sorted({had(step, pods) for step in plan.steps}))})
