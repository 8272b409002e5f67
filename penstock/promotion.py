"""Promoting a version: prove its package, move the alias, let the live pointer follow; or put all back.

The registry's alias `champion` says what should serve. Every step may be repeated: a promotion that a crash cut
in two is finished by the next one, or by `reconcile`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from penstock import signatures
from penstock.errors import DeployError, PenstockError, Stale
from penstock.registry import CHALLENGER, CHAMPION, PROMOTED_AT, REGISTER_PATH, Registry, Version
from penstock.settings import Settings
from penstock.store import Store
from penstock.targets import RevisionStatus, Status, Target, TargetError


@dataclass(frozen=True)
class Live:
    """What serves after a promotion: the registered version, its revision on the target, and the live URL."""

    version: str
    revision: str
    url: str


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

    def promote(self, version: str, package: str, *, judged_against: str | None) -> Live:
        """Make `version` the champion and live, by the package that was judged.

        `package`: the path of its registration in the store. `judged_against`: the version that it was judged
        against, or None. Raises Stale where another version was promoted since, DeployError where the target
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
            return self._move(self._known(version), package)

    def roll_back(self, version: str) -> Live:
        """Make an older `version` the champion and live, whatever it was judged against."""
        with self._lock():
            wanted = self._known(version)
            return self._move(wanted, self._registration(wanted))

    def reconcile(self) -> Live | None:
        """Bring the target to the alias, which a person may have moved; None where there is no champion."""
        with self._lock():
            champion = self._registry.champion(self._pipeline)
            return None if champion is None else self._move(champion, self._registration(champion))

    def _lock(self) -> AbstractContextManager[None]:
        return self._store.lock(f"promotion-{self._pipeline}")

    def _move(self, wanted: Version, package: str) -> Live:
        with tempfile.TemporaryDirectory() as scratch:
            self._target.prepare()
            folder = self._store.fetch(f"{package}/package", Path(scratch))
            signatures.verify(folder)
            # Proves itself on its samples; nothing has moved yet.
            revision = self._target.put(folder)
        before = self._now(wanted)
        try:
            self._registry.set_alias(self._pipeline, CHAMPION, wanted.version)
            same = before.serving is not None and before.serving.revision == revision
            since = wanted.tags.get(PROMOTED_AT) if same else None
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
            left = self._restore(wanted, before)
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
            serving=serving,
            champion=served or self._registry.champion(self._pipeline),
            challenger=challenger is not None and challenger.version == wanted.version,
        )

    def _status(self) -> Status | None:
        try:
            return self._target.status(self._function)
        except TargetError as error:
            if error.status == 404:
                return None
            raise

    def _restore(self, wanted: Version, before: _Before) -> str:
        """Undo each step of `_move`, whatever becomes of the others; says what serves now."""
        pipeline, registry = self._pipeline, self._registry
        # The live pointer first, as callers wait for it.
        steps: list[Callable[[], None]] = []
        if before.serving is not None:
            revision = before.serving.revision
            steps.append(lambda: self._target.route(self._function, revision))
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
    """What was there before a move: what served, the version to call champion, whether the wanted one is challenger."""

    serving: RevisionStatus | None
    champion: Version | None
    challenger: bool
