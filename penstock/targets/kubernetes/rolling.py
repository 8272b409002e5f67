"""Rollouts on a cluster, where nobody of ours deals requests: the platform does, by weights or by how many pods each side has.

All that is known of one lies with the live name's Service, where each look is one write against the version that it read: of two
who look at once one has looked, and whoever looks next goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from penstock.rollout.counted import Counters, Watch, read
from penstock.rollout.course import Verdict
from penstock.rollout.record import AFTER, Action, Record
from penstock.spec.rollout import Rollout
from penstock.targets import TargetError
from penstock.targets.asking import crowded, polls, tries
from penstock.targets.kubernetes import manifests, trouble
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.deployments import Deployments, is_whole, own_pods, replicas
from penstock.targets.kubernetes.live import LiveNames, serving, watch_of
from penstock.targets.kubernetes.manifests import Live
from penstock.targets.kubernetes.owned import ours
from penstock.targets.kubernetes.settings import PARENT_GATEWAY, REPLICAS, SCALE_ON, Settings
from penstock.targets.rolling import check_plan, is_begun, not_in_course

#: Seconds between two looks at what pods count, whoever takes them.
LOOK: Final = 5.0
#: What is kept of a rollout fits in annotations (256 KiB) up to so many pods of each side.
_MOST_PODS: Final = 100
#: How much more than its planned share the candidate may get where pods give no less.
_ROUNDED: Final = 1.5
_ASKED_AT_ONCE: Final = 16
_PATIENCE: Final = 60.0


class Rolling:
    """Rollouts of the functions of one namespace."""

    def __init__(self, api: Api, given: Settings, live: LiveNames, deployments: Deployments) -> None:
        self._api = api
        self._given = given
        self._live = live
        self._deployments = deployments

    def begin(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        """Begin a rollout of a revision that was put; where it cannot, that has no pods any more. See `RollingTarget`."""
        try:
            self._begin(name, revision, plan, run)
        except TargetError:
            with suppress(TargetError):  # why it could not is what must be told
                live = self._live.find(name)
                candidate = self._deployments.find(name, revision)
                if candidate is not None and not (live and revision in serving(live)):
                    self._deployments.scale(candidate, 0)
            raise

    def _begin(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        live = self._live.find(name)
        last = watch_of(live)
        record = last.record if last else None
        if is_begun(name, live.revision if live else None, record, revision, run):
            return
        assert live is not None
        candidate = self._deployments.known(name, revision)
        champion = self._deployments.known(name, live.revision)
        planned = fitted(plan, self._given, replicas(champion))
        # One that ended, and whoever followed it died: none of its pods may take part in this one.
        self._alone(name, {live.revision, revision})
        traffic = self._make_room(champion, candidate, planned)
        self._deployments.await_ready(name, revision)
        now = datetime.now(UTC)
        at = now.isoformat(timespec="seconds")
        record = Record(revision=revision, run=run, plan=planned, began=at, since=at)
        counted = self._counted(*(self._pods(name, each) for each in (live.revision, revision)))
        watch, _ = Watch(record=record, looked=at).look(*counted, now)
        if not self._live.write(name, _with(live, watch, traffic)):
            raise TargetError(
                f"the service of {name} was changed meanwhile", next_step="run again", status=409
            )
        self._live.lead(name)

    def take_step(self, name: str) -> None:
        """Look at what pods count, and do what follows; nothing where somebody has just looked, or there is no rollout."""
        for _ in tries(_PATIENCE, 0.2):
            live = self._live.find(name)
            watch = watch_of(live)
            if live is None or watch is None:
                return
            if watch.record.over:
                self._settle(name, live, watch)
                return
            now = datetime.now(UTC)
            # Clocks differ: one that is ahead keeps nobody from looking.
            if abs((now - datetime.fromisoformat(watch.looked)).total_seconds()) < LOOK:
                return
            self._check_way(live)
            further = self._further(name, live, watch, now)
            after = _with(live, further, live.traffic)
            if not self._live.write(name, after):
                continue  # somebody else has looked
            self._follow_up(name, after, further)
            return

    def steer(self, name: str, action: Action) -> None:
        """Do that to the rollout in course. See `RollingTarget`."""
        for _ in tries(_PATIENCE, 0.2):
            live = self._live.find(name)
            watch = watch_of(live)
            if live is None or watch is None or watch.record.over:
                raise not_in_course(name)
            self._check_way(live)
            if action == "promote":
                candidate = self._deployments.known(name, watch.record.revision)
                self._deployments.scale(candidate, self._whole(name, live, candidate))
                self._deployments.await_ready(name, watch.record.revision)
                further = watch.ended("promoted", "by a person")
            elif action == "abort":
                further = watch.ended("aborted", "by a person")
            else:
                further = watch.turned(AFTER[action])
            after = _with(live, further, live.traffic)
            if self._live.write(name, after):
                self._follow_up(name, after, further)
                return
        raise crowded(f"the service of {name}")

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

    def _check_way(self, live: Live) -> None:
        """Raises TargetError where a Gateway deals the requests, and we are not told which."""
        if not live.traffic and self._given.parent is None:
            raise TargetError(
                "a Gateway deals the requests of this rollout", next_step=f"set {PARENT_GATEWAY} here, too"
            )

    def _further(self, name: str, live: Live, watch: Watch, now: datetime) -> Watch:
        """The rollout after a look."""
        revision = watch.record.revision
        candidate = self._deployments.find(name, revision)
        if candidate is None:
            return watch.ended("aborted", "its Deployment was taken away")
        pods = [self._pods(name, each) for each in (live.revision, revision)]
        found, verdict = watch.look(*self._counted(*pods), now)
        why = self._deployments.trouble(candidate, pods[1])
        if why is not None and why.lasting and not is_whole(candidate):
            verdict = Verdict("worse", f"its pods do not run: {why.reason}")
        if verdict.word == "worse":
            return found.ended("worse", verdict.reason)
        if verdict.word == "go on":
            return found
        if (stage := found.advanced(now)) is not None:
            return stage
        size = self._whole(name, live, candidate)
        if replicas(candidate) == size and is_whole(candidate):
            return found.ended("promoted", "it was no worse than tolerated at any step")
        self._deployments.scale(candidate, size)
        return found

    def _whole(self, name: str, live: Live, candidate: Object) -> int:
        """How many pods the candidate must have to take all requests."""
        champion = self._deployments.find(name, live.revision)
        return self._deployments.size(replicas(candidate), replicas(champion))

    def _follow_up(self, name: str, live: Live, watch: Watch) -> None:
        """Have all else as the Service, which was written, has it."""
        if watch.record.over:
            self._settle(name, live, watch)
            return
        self._live.lead(name)
        if live.traffic:
            champion = self._deployments.find(name, live.revision)
            candidate = self._deployments.known(name, watch.record.revision)
            # Never fewer: shares rise, and one that is to have all of them has been given more pods already.
            self._deployments.scale(
                candidate, max(replicas(candidate), beside(watch.record.share, replicas(champion)))
            )

    def _settle(self, name: str, live: Live, watch: Watch) -> None:
        """After the end, once: requests by the Gateway follow, and a version that was taken back has no pods."""
        if watch.settled:
            return
        self._live.lead(name)
        if watch.record.state != "promoted" and live.revision != watch.record.revision:
            candidate = self._deployments.find(name, watch.record.revision)
            if candidate is not None:
                self._deployments.scale(candidate, 0)
        done = watch.model_copy(update={"settled": True})
        # Where somebody else has written meanwhile, the next one does this.
        if (now := self._live.find(name)) is not None and watch_of(now) == watch:
            self._live.write(name, replace(now, rollout=done.model_dump_json()))

    def _pods(self, name: str, revision: str) -> list[Object]:
        return self._api.find("Pod", manifests.of_revision(name, revision))

    def _counted(
        self, *sides: Sequence[Object]
    ) -> tuple[dict[str, Counters | None], dict[str, Counters | None]]:
        """What the pods of both sides, by name, have counted."""
        champion, candidate = (
            [pod["metadata"]["name"] for pod in pods if not trouble.is_going(pod)] for pods in sides
        )
        counters = self._ask([*champion, *candidate])
        return {pod: counters[pod] for pod in champion}, {pod: counters[pod] for pod in candidate}

    def _ask(self, pods: Sequence[str]) -> dict[str, Counters | None]:
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as threads:
            pages = threads.map(lambda pod: self._api.metrics(pod, manifests.PORT), pods)
            return {pod: _read(page) for pod, page in zip(pods, pages, strict=True)}


def _read(page: str | None) -> Counters | None:
    """What a page says; None where it says nothing, as another program's does."""
    try:
        return None if page is None else read(page)
    except ValueError:
        return None


def _with(live: Live, watch: Watch, traffic: str) -> Live:
    """The live name with a rollout as it is now: in course, taken back, or with the new revision as the live one."""
    if not watch.record.over:
        return replace(live, rollout=watch.model_dump_json(), traffic=traffic)
    kept = replace(live, rollout=watch.model_dump_json(), traffic="")
    if watch.record.state != "promoted":
        return kept
    since = datetime.now(UTC).isoformat()
    return replace(kept, revision=watch.record.revision, before=live.revision, since=since)


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
    if given.shape.most > _MOST_PODS:
        faults.append(f"{REPLICAS} is more than {_MOST_PODS}, which are asked at each look: take fewer")
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
    check_plan("Kubernetes", faults)
    if given.parent is not None:
        return plan
    return plan.model_copy(update={"steps": tuple(sorted({had(step, pods) for step in plan.steps}))})
