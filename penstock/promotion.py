"""Promoting a version: prove its package, move the alias, let the live pointer follow; or put all back.

The registry's alias `champion` says what should serve. Every step may be repeated: a promotion that a crash cut
in two is finished by the next one, or by `reconcile`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from penstock.errors import DeployError, PenstockError, Stale
from penstock.registry import CHALLENGER, CHAMPION, Registry, Version
from penstock.settings import Settings
from penstock.store import Store
from penstock.targets import Target, TargetError

#: Tag of a version: when it last became the champion (ISO, UTC).
PROMOTED_AT: Final = "penstock.promoted_at"


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

    def promote(self, version: str, *, judged_against: str | None) -> Live:
        """Make `version` the champion and live. `judged_against`: the version that it was judged against, or None.

        Raises Stale where another version was promoted since, DeployError where the target would not have it
        (the version before serves, and is the champion).
        """
        with self._store.lock(f"promotion-{self._pipeline}"):
            champion = self._registry.champion(self._pipeline)
            now = champion.version if champion else None
            if now not in (judged_against, version):
                raise Stale(
                    f"version {version} was judged against version {judged_against or 'none'}, "
                    f"and version {now or 'none'} is the champion by now",
                    next_step="judge it again",
                )
            return self._move(self._known(version), champion)

    def roll_back(self, version: str) -> Live:
        """Make an older `version` the champion and live, whatever it was judged against."""
        with self._store.lock(f"promotion-{self._pipeline}"):
            return self._move(self._known(version), self._registry.champion(self._pipeline))

    def reconcile(self) -> Live | None:
        """Bring the target to the alias, which a person may have moved; None where there is no champion."""
        with self._store.lock(f"promotion-{self._pipeline}"):
            champion = self._registry.champion(self._pipeline)
            return None if champion is None else self._move(champion, champion)

    def _move(self, wanted: Version, before: Version | None) -> Live:
        live = self._live_revision()
        revision = self._put(wanted)  # proves itself on its samples; nothing has moved yet
        self._registry.set_alias(self._pipeline, CHAMPION, wanted.version)
        try:
            self._target.route(self._function, revision)
            answers = self._target.serving(self._function)
            if answers != revision:
                raise TargetError(
                    f"the live name {self._function!r} answers as {answers}, expected {revision}",
                    next_step="see the function's log: penstock logs " + self._function,
                )
        except TargetError as error:
            self._restore(before, live)
            raise DeployError(
                f"version {wanted.version} of {self._pipeline} could not go live: {error.message}; "
                f"version {before.version if before else 'none'} is back",
                next_step=error.next_step,
            ) from error
        challenger = self._registry.by_alias(self._pipeline, CHALLENGER)
        if challenger is not None and challenger.version == wanted.version:
            self._registry.drop_alias(self._pipeline, CHALLENGER)
        self._registry.tag(self._pipeline, wanted.version, {PROMOTED_AT: datetime.now(UTC).isoformat()})
        url = self._target.status(self._function).url
        return Live(version=wanted.version, revision=revision, url=url)

    def _put(self, version: Version) -> str:
        if version.register_path is None:
            raise DeployError(
                f"version {version.version} of {self._pipeline} has no function package: it was registered by hand",
                next_step="run the pipeline, which registers a version with its package",
            )
        with tempfile.TemporaryDirectory() as scratch:
            self._target.prepare()
            package = self._store.fetch(f"{version.register_path}/package", Path(scratch))
            return self._target.put(package)

    def _restore(self, before: Version | None, live: str | None) -> None:
        if before is None:
            self._registry.drop_alias(self._pipeline, CHAMPION)
        else:
            self._registry.set_alias(self._pipeline, CHAMPION, before.version)
        if live is not None:
            self._target.route(self._function, live)

    def _live_revision(self) -> str | None:
        try:
            return self._target.status(self._function).live
        except TargetError:
            return None

    def _known(self, version: str) -> Version:
        found = self._registry.version(self._pipeline, version)
        if found is None:
            known = ", ".join(v.version for v in self._registry.versions(self._pipeline)) or "none"
            raise PenstockError(
                f"the registry has no version {version} of {self._pipeline} (versions: {known})",
                next_step="choose one of these, or run the pipeline with --force register",
            )
        return found
