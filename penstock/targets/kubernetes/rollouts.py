"""Rollouts on a cluster, where nobody of ours deals requests: the platform does, and pods count what they answer.

All that is known of one lies with the live name, where each look is one write against the version that it read: of two who look
at once one has looked, and whoever looks next goes on. What else there is to do beside it, a platform's `Sides` do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

from penstock.rollout.counted import Counters, Watch, read
from penstock.rollout.record import AFTER, Action, Record, State
from penstock.spec.rollout import Rollout
from penstock.targets import Status, TargetError
from penstock.targets.asking import crowded, tries
from penstock.targets.kubernetes import manifests, trouble
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.live import PATIENCE, LiveNames, rolled, serving, watch_of
from penstock.targets.kubernetes.manifests import Live
from penstock.targets.rolling import is_begun, not_in_course

#: Seconds between two looks at what pods count, whoever takes them.
LOOK: Final = 5.0
#: Pods of a side that are asked at a look: what is kept of so many fits in annotations (256 KiB).
MOST_PODS: Final = 100
_ASKED_AT_ONCE: Final = 16


class Sides(Protocol):
    """The two revisions of a rollout on a platform: what runs of them. Every method raises TargetError."""

    def begin(self, name: str, live: Live, revision: str, plan: Rollout) -> tuple[Rollout, str]:
        """Have the first stage of a rollout of `revision` ready; the plan as it can be had here, and `Live.traffic` meanwhile."""

    def check(self, live: Live) -> None:
        """See that the requests of the rollout in course can be dealt out from here."""

    def fault(self, name: str, revision: str, pods: Sequence[Object]) -> tuple[State, str] | None:
        """How a rollout of `revision`, which has these pods, must end, whatever they answer, and why; None where it need not."""

    def is_whole(self, name: str, live: Live, revision: str) -> bool:
        """Whether `revision` can take all requests; what that needs is begun."""

    def await_whole(self, name: str, live: Live, revision: str) -> None:
        """Wait until it can. Raises TargetError with what keeps it from that."""

    def follow(self, name: str, live: Live, record: Record) -> None:
        """Have what the stage needs, once that was written."""

    def end(self, name: str, revision: str) -> None:
        """Have nothing run of a `revision` that gets no requests."""


class RolledOut(ABC):
    """What a target on a cluster has of `Target` for rollouts."""

    _rollouts: Rollouts

    @abstractmethod
    def status(self, name: str) -> Status:
        """What is known of the function. See `Target`."""

    def roll_out(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        """Begin a rollout. See `Target`."""
        self._rollouts.begin(name, revision, plan, run)

    def take_step(self, name: str) -> Status:
        """Look at what pods have counted since the last look, and do what follows from it. See `Target`."""
        self._rollouts.take_step(name)
        return self.status(name)

    def steer(self, name: str, action: Action) -> Status:
        """Pause, resume, promote or abort the rollout. See `Target`."""
        self._rollouts.steer(name, action)
        return self.status(name)


class Rollouts:
    """Those of the functions of one namespace."""

    def __init__(self, api: Api, live: LiveNames, sides: Sides) -> None:
        self._api = api
        self._live = live
        self._sides = sides

    def begin(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        """Begin a rollout of a revision that was put; where it cannot, nothing of that runs any more. See `Target`."""
        try:
            self._begin(name, revision, plan, run)
        except TargetError:
            with suppress(TargetError):  # why it could not is what must be told
                live = self._live.find(name)
                if not (live and revision in serving(live)):
                    self._sides.end(name, revision)
            raise

    def _begin(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        for _ in tries(PATIENCE, 0.2):
            live = self._live.find(name)
            last = watch_of(live)
            record = last.record if last else None
            if is_begun(name, live.revision if live else None, record, revision, run):
                return
            assert live is not None
            planned, traffic = self._sides.begin(name, live, revision, plan)
            now = datetime.now(UTC)
            at = now.isoformat(timespec="seconds")
            record = Record(revision=revision, run=run, plan=planned, began=at, since=at)
            counted = self._counted(*(self._pods(name, each) for each in (live.revision, revision)))
            watch, _ = Watch(record=record, looked=at).look(*counted, now)
            if self._live.write(name, rolled(live, watch, traffic)):
                self._live.lead(name)
                return
        raise crowded(f"the live name of {name}")

    def take_step(self, name: str) -> None:
        """Look at what pods count, and do what follows; nothing where somebody has just looked, or there is no rollout."""
        for _ in tries(PATIENCE, 0.2):
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
            self._sides.check(live)
            if self._write(name, live, self._further(name, live, watch, now)):
                return  # else somebody else has looked

    def steer(self, name: str, action: Action) -> None:
        """Do that to the rollout in course. See `Target`."""
        for _ in tries(PATIENCE, 0.2):
            live = self._live.find(name)
            watch = watch_of(live)
            if live is None or watch is None or watch.record.over:
                raise not_in_course(name)
            self._sides.check(live)
            if action == "promote":
                self._sides.await_whole(name, live, watch.record.revision)
            if action in ("promote", "abort"):
                further = watch.ended(AFTER[action], "by a person")
            else:
                further = watch.turned(AFTER[action])
            if self._write(name, live, further):
                return
        raise crowded(f"the live name of {name}")

    # -- how ------------------------------------------------------------------------------------------------

    def _further(self, name: str, live: Live, watch: Watch, now: datetime) -> Watch:
        """The rollout after a look."""
        revision = watch.record.revision
        champion, candidate = (self._pods(name, each) for each in (live.revision, revision))
        if (fault := self._sides.fault(name, revision, candidate)) is not None:
            return watch.ended(*fault)
        found, verdict = watch.look(*self._counted(champion, candidate), now)
        if verdict.word == "worse":
            return found.ended("worse", verdict.reason)
        if verdict.word == "go on":
            return found
        if (stage := found.advanced(now)) is not None:
            return stage
        if self._sides.is_whole(name, live, revision):
            return found.ended("promoted", "it was no worse than tolerated at any step")
        return found

    def _write(self, name: str, live: Live, watch: Watch) -> bool:
        """Write a rollout as it is now, and have all else follow; False where somebody else has written since `live` was read."""
        after = rolled(live, watch, live.traffic)
        if not self._live.write(name, after):
            return False
        if watch.record.over:
            self._settle(name, after, watch)
        else:
            self._live.lead(name)
            self._sides.follow(name, after, watch.record)
        return True

    def _settle(self, name: str, live: Live, watch: Watch) -> None:
        """After the end, once: who deals requests follows, and nothing runs of a version that was taken back."""
        if watch.settled:
            return
        self._live.lead(name)
        if watch.record.state != "promoted" and live.revision != watch.record.revision:
            self._sides.end(name, watch.record.revision)
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
            sorted(pod["metadata"]["name"] for pod in pods if not trouble.is_going(pod))[:MOST_PODS]
            for pods in sides
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
