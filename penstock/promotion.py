"""Promoting a version: prove its package, move the alias, let the live pointer follow; or put all back.

With a rollout the target moves traffic step by step first, and judges; the alias moves once it has promoted the version.

The registry's alias `champion` says what should serve. Every step may be repeated: a promotion that a crash cut
in two is finished by the next one, or by `reconcile`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from penstock import signatures
from penstock.errors import DeployError, PenstockError, Stale
from penstock.registry import (
    CHALLENGER,
    CHAMPION,
    PROMOTED_AT,
    REGISTER_PATH,
    ROLLOUT,
    ROLLOUT_BECAUSE,
    Registry,
    Version,
)
from penstock.results import GateResult
from penstock.rollout.canary import canary
from penstock.rollout.following import follow
from penstock.rollout.record import RolloutStatus, State
from penstock.settings import Settings
from penstock.spec.rollout import Rollout
from penstock.store import Store
from penstock.targets import RevisionStatus, Status, Target, TargetError

_UNDER_WAY: State = "under way"


@dataclass(frozen=True)
class Live:
    """What serves after a promotion: the registered version, its revision on the target, and the live URL.

    `canary` is the verdict of a rollout; where it did not pass, the version is the one that served before.
    """

    version: str
    revision: str
    url: str
    canary: GateResult | None = None


class Promotion:
    """Moves one pipeline's function between versions; one promotion of a pipeline at a time."""

    def __init__(
        self, settings: Settings, pipeline: str, function: str, target: Target, registry: Registry
    ) -> None:
        self._settings = settings
        self._store = Store(settings.store)
        self._pipeline = pipeline
        self._function = function
        self._target = target
        self._registry = registry

    def promote(
        self,
        version: str,
        package: str,
        *,
        judged_against: str | None,
        rollout: Rollout | None = None,
        run: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> Live:
        """Make `version` the champion and live, by the package that was judged; at once, or by a rollout that is followed to
        its end.

        `package`: the path of its registration in the store. `judged_against`: the version that it was judged
        against, or None. `run` names this promotion: made again under that name it follows the rollout that it began;
        `say` is told how far that is. Raises Stale where another version was promoted since, DeployError where the target
        would not have it (the version before serves, and is the champion).
        """
        with self._lock():
            champion = self._registry.champion(self._pipeline)
            now = champion.version if champion else None
            if now not in (judged_against, version):
                raise Stale(
                    f"version {version} was judged against version {judged_against or 'none'}, "
                    f"and version {now or 'none'} is the champion by now",
                    next_step="judge it again",
                )
            wanted = self._known(version)
            revision = self._begin(wanted, package, rollout, run) if rollout else None
            if revision is None:
                return self._move(wanted, package)
        # Not under the lock: who wants to go back meanwhile need not wait.
        ended = follow(self._rollout, revision, say)
        with self._lock():
            return self._settle(wanted, package, ended)

    def roll_back(self, version: str) -> Live:
        """Make an older `version` the champion and live, whatever it was judged against."""
        with self._lock():
            wanted = self._known(version)
            return self._move(wanted, self._registration(wanted))

    def reconcile(self) -> Live | None:
        """Bring the target to the alias, which a person may have moved; None where there is no champion.

        A rollout in course takes its next step; one that ended while nobody followed it is entered in the registry first.
        """
        with self._lock():
            return self._reconcile()

    def keep_up(self) -> Live | None:
        """The same where the target does not serve the champion, or a rollout is not at its end; None where nothing is to be done.

        It may be asked all the time: a look takes no lock and writes nothing.
        """
        if not self._is_behind():
            return None
        with self._lock():
            # A promotion was in course, perhaps.
            return self._reconcile() if self._is_behind() else None

    def _is_behind(self) -> bool:
        champion = self._registry.champion(self._pipeline)
        if champion is None:
            return False
        status = self._status()
        if status is None or status.serving is None:
            return True
        return (
            status.serving.version != champion.version
            or bool(status.lost)
            or self._forgotten(status.rollout) != []
            or (status.rollout is not None and not status.rollout.over)
            or self._unsettled(status.rollout) is not None
        )

    def _forgotten(self, rollout: RolloutStatus | None) -> list[Version]:
        """Versions whose rollout is under way as the registry has it, where it is none that the target knows of."""
        return [
            version
            for version in self._registry.versions(self._pipeline)
            if version.tags.get(ROLLOUT) == _UNDER_WAY
            and (rollout is None or rollout.version != version.version)
        ]

    def _unsettled(self, rollout: RolloutStatus | None) -> Version | None:
        """The version of a rollout that ended, where the registry does not know that."""
        if rollout is None or not rollout.over:
            return None
        rolled = self._registry.version(self._pipeline, rollout.version)
        return rolled if rolled and rolled.tags.get(ROLLOUT) == _UNDER_WAY else None

    def _reconcile(self) -> Live | None:
        champion = self._registry.champion(self._pipeline)
        if champion is None:
            return None
        self._target.prepare()
        status = self._status()
        if status and status.serving and status.rollout:  # where nothing serves none goes on beside it
            status = self._stepped()
        rollout, serving = (status.rollout, status.serving) if status else (None, None)
        for version in self._forgotten(rollout):
            tags = {ROLLOUT: "aborted", ROLLOUT_BECAUSE: "the target knows of no such rollout any more"}
            self._registry.tag(self._pipeline, version.version, tags)
        if status and rollout and not rollout.over and serving and serving.version == champion.version:
            return Live(serving.version, serving.revision, status.url)
        rolled = self._unsettled(rollout)
        if rollout and rolled:
            live = self._settle(rolled, self._registration(rolled), rollout)
            if live.version == rolled.version:
                return live
        return self._move(champion, self._registration(champion))

    def abort_rollout(self) -> Live | None:
        """End the rollout in course: what served before has all traffic again. None where there is none."""
        with self._lock():
            self._target.prepare()
            status = self._status()
            rollout = status.rollout if status else None
            if rollout is None or rollout.over:
                return None
            ended = self._target.steer(self._function, "abort").rollout
            assert ended is not None
            wanted = self._known(ended.version)
            return self._settle(wanted, self._registration(wanted), ended)

    def _lock(self) -> AbstractContextManager[None]:
        return self._store.lock(f"promotion-{self._pipeline}")

    # -- by a rollout ---------------------------------------------------------------------------------------

    def _begin(self, wanted: Version, package: str, plan: Rollout, run: str) -> str | None:
        """Begin the version's rollout, or find the one that this `run` began; its revision.

        None where there is nothing to roll out: no other version serves.
        """
        revision = self._put(package)
        status = self._status()
        if status is None or status.live is None:
            if not self._bring_back(wanted):
                return None
            # What was put before may have gone with what is old.
            revision, status = self._put(package), self._target.status(self._function)
        last = status.rollout
        if last and last.over and (last.revision, last.run) == (revision, run):
            return revision
        if status.live == revision:
            return None
        # First, so that whoever finds the rollout ended knows whether that was entered here.
        tags = {REGISTER_PATH: package, ROLLOUT: _UNDER_WAY}
        self._registry.tag(self._pipeline, wanted.version, tags)
        try:
            self._target.roll_out(self._function, revision, plan, run)
        except TargetError as error:
            if ROLLOUT in wanted.tags:
                self._registry.tag(self._pipeline, wanted.version, {ROLLOUT: wanted.tags[ROLLOUT]})
            else:
                self._registry.drop_tag(self._pipeline, wanted.version, ROLLOUT)
            raise DeployError(
                f"the rollout of version {wanted.version} of {self._pipeline} could not begin: {error.message}",
                next_step=error.next_step,
            ) from error
        return revision

    def _bring_back(self, wanted: Version) -> bool:
        """Where somebody took the function away: whether the champion, beside which a version is to be rolled out, serves again."""
        champion = self._registry.champion(self._pipeline)
        if champion is None or champion.version == wanted.version:
            return False
        # What cannot be brought back must not keep a version from taking its place.
        with suppress(PenstockError):
            self._move(champion, self._registration(champion))
            return True
        return False

    def _settle(self, wanted: Version, package: str, rollout: RolloutStatus) -> Live:
        """Enter a rollout's end in the registry; what serves, and the verdict."""
        status = self._target.status(self._function)
        state, reason = rollout.state, rollout.reason
        promoted = state == "promoted" and status.live == rollout.revision
        if state == "promoted" and not promoted:
            state, reason = "aborted", f"it had all traffic, and {status.live} was made live since"
        verdict = canary(wanted.version, state, reason)
        tags = {ROLLOUT: state, ROLLOUT_BECAUSE: reason}
        if promoted:
            live = self._move(wanted, package, status.since)
            self._registry.tag(self._pipeline, wanted.version, tags)
            return replace(live, canary=verdict)
        self._registry.tag(self._pipeline, wanted.version, tags)
        serving = status.serving
        if serving is None:
            raise DeployError(
                f"nothing serves behind {self._function!r}", next_step=f"penstock reconcile {self._pipeline}"
            )
        return Live(serving.version, serving.revision, status.url, verdict)

    def _rollout(self) -> RolloutStatus | None:
        status = self._stepped()
        return status.rollout if status else None

    def _stepped(self) -> Status | None:
        """What the target knows once a rollout in course has taken its next step; None where it knows nothing."""
        return self._told(self._target.take_step)

    # -- at once --------------------------------------------------------------------------------------------

    def _put(self, package: str) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            self._target.prepare()
            folder = self._store.fetch(f"{package}/package", Path(scratch))
            signatures.verify(folder)
            # Proves itself on its samples; nothing has moved yet.
            return self._target.put(folder)

    def _move(self, wanted: Version, package: str, since: str | None = None) -> Live:
        """Make it the champion and live; `since` where it is live already, by a rollout."""
        revision = self._put(package)
        before = self._now(wanted)
        try:
            self._registry.set_alias(self._pipeline, CHAMPION, wanted.version)
            same = before.serving is not None and before.serving.revision == revision
            since = since or (wanted.tags.get(PROMOTED_AT) if same else None)
            tags = {REGISTER_PATH: package, PROMOTED_AT: since or datetime.now(UTC).isoformat()}
            self._registry.tag(self._pipeline, wanted.version, tags)
            if before.challenger:
                self._registry.drop_alias(self._pipeline, CHALLENGER)
            # The live pointer comes last: where it names the revision, all before it was done.
            self._target.route(self._function, revision)
            answers = self._target.serving(self._function)
            if answers != revision:
                raise TargetError(
                    f"the live name {self._function!r} answers as {answers}, expected {revision}",
                    next_step="see the function's log: penstock logs " + self._function,
                )
        except Exception as error:  # whatever it was: what served before must serve again
            left = self._restore(wanted, before, revision)
            if not isinstance(error, TargetError):
                raise
            raise DeployError(
                f"version {wanted.version} of {self._pipeline} could not go live: {error.message}; {left}",
                next_step=error.next_step,
            ) from error
        try:
            self._target.attach(self._function)
        except TargetError as error:
            raise DeployError(
                f"version {wanted.version} of {self._pipeline} is live, but not all that starts it is as declared: "
                f"{error.message}",
                next_step=error.next_step,
            ) from error
        url = self._target.status(self._function).url
        return Live(version=wanted.version, revision=revision, url=url)

    def _now(self, wanted: Version) -> _Before:
        """What a failure must bring back. The target says what serves: a crash may have moved only the alias."""
        status = self._status()
        serving = status.serving if status else None
        served = self._registry.version(self._pipeline, serving.version) if serving else None
        challenger = self._registry.by_alias(self._pipeline, CHALLENGER)
        return _Before(
            absent=status is None or status.live is None,
            serving=serving,
            champion=served or self._registry.champion(self._pipeline),
            challenger=challenger is not None and challenger.version == wanted.version,
        )

    def _status(self) -> Status | None:
        return self._told(self._target.status)

    def _told(self, ask: Callable[[str], Status]) -> Status | None:
        try:
            return ask(self._function)
        except TargetError as error:
            if error.status == 404:
                return None
            raise

    def _restore(self, wanted: Version, before: _Before, moved: str) -> str:
        """Undo each step of `_move` to the revision `moved`, whatever becomes of the others; says what serves now."""
        pipeline, registry = self._pipeline, self._registry
        # The live pointer first, as callers wait for it.
        steps: list[Callable[[], None]] = []
        if before.serving is not None:
            revision = before.serving.revision
            steps.append(lambda: self._target.route(self._function, revision))
        elif before.absent and before.champion is None:
            steps.append(lambda: self._take_back(moved))
        if before.challenger:
            steps.append(lambda: registry.set_alias(pipeline, CHALLENGER, wanted.version))
        kept = {tag: wanted.tags[tag] for tag in (REGISTER_PATH, PROMOTED_AT) if tag in wanted.tags}
        steps.append(lambda: registry.tag(pipeline, wanted.version, kept))
        if PROMOTED_AT not in kept:
            steps.append(lambda: registry.drop_tag(pipeline, wanted.version, PROMOTED_AT))
        if before.champion is None:
            steps.append(lambda: registry.drop_alias(pipeline, CHAMPION))
        else:
            champion = before.champion.version
            steps.append(lambda: registry.set_alias(pipeline, CHAMPION, champion))
        faults = []
        for step in steps:
            try:
                step()
            except Exception as error:  # a target that is down must not keep the registry from going back
                faults.append(str(error))
        if faults:
            return f"nor could all be put back, run `penstock reconcile {pipeline}`: {'; '.join(faults)}"
        return f"version {before.serving.version} is back" if before.serving else "nothing serves"

    def _take_back(self, revision: str) -> None:
        """Take a function away again that was not there before, if it is not another's by now."""
        status = self._status()
        if status is not None and status.live == revision:
            self._target.remove(self._function)

    def _registration(self, version: Version) -> str:
        """The path of a version's registration, by the attempt that won its key."""
        if version.register_path is None:
            raise DeployError(
                f"version {version.version} of {self._pipeline} has no function package: it was registered by hand",
                next_step="run the pipeline, which registers a version with its package",
            )
        return self._store.result_at(version.register_path).path

    def _known(self, version: str) -> Version:
        found = self._registry.version(self._pipeline, version)
        if found is None:
            known = ", ".join(v.version for v in self._registry.versions(self._pipeline)) or "none"
            raise PenstockError(
                f"the registry has no version {version} of {self._pipeline} (versions: {known})",
                next_step="choose one of these, or run the pipeline with --force register",
            )
        return found


@dataclass(frozen=True)
class _Before:
    """What was there before a move: what served, the version to call champion, whether the wanted one is challenger.

    `absent`: there was no live name.
    """

    absent: bool
    serving: RevisionStatus | None
    champion: Version | None
    challenger: bool
