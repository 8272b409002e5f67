"""What a function's live name leads to, and how its rollout is: kept by an object of the cluster, in one write, whatever deals requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from penstock.rollout.counted import Watch
from penstock.rollout.record import State
from penstock.targets.asking import crowded, tries
from penstock.targets.kubernetes.manifests import Live

#: For who writes to be the only one.
PATIENCE: Final = 60.0
#: So many answers may come from the new version, in a rollout, before one of the live one is given up.
_TURNS: Final = 30


class LiveNames(ABC):
    """Those of one namespace. Every method raises TargetError."""

    @abstractmethod
    def find(self, name: str) -> Live | None:
        """What it leads to; None where nothing is live."""

    @abstractmethod
    def write(self, name: str, live: Live) -> bool:
        """Have it lead there; False where somebody else has written since it was read."""

    @abstractmethod
    def lead(self, name: str) -> None:
        """Have whoever deals requests follow what is written, as far as that was not one write."""

    def change(self, name: str, edit: Callable[[Live | None], Live]) -> Live:
        """Write what `edit` makes of what is there, anew where somebody else wrote meanwhile."""
        for _ in tries(PATIENCE, 0.2):
            live = edit(self.find(name))
            if self.write(name, live):
                return live
        raise crowded(f"the live name of {name}")


def watch_of(live: Live | None) -> Watch | None:
    """The rollout in course, or the last one; None before the first, and where somebody changed its record by hand."""
    with suppress(ValidationError):
        return Watch.model_validate_json(live.rollout) if live and live.rollout else None
    return None


def serving(live: Live) -> set[str]:
    """The revisions that answer requests: the live one, and in a rollout the other."""
    watch = watch_of(live)
    return {live.revision} if watch is None or watch.record.over else {live.revision, watch.record.revision}


def rolled(live: Live, watch: Watch, traffic: str) -> Live:
    """The live name with a rollout as it is now: in course, taken back, or with the new revision as the live one."""
    if not watch.record.over:
        return replace(live, rollout=watch.model_dump_json(), traffic=traffic)
    kept = replace(live, rollout=watch.model_dump_json(), traffic="")
    return routed(kept, watch.record.revision) if watch.record.state == "promoted" else kept


def moved(live: Live | None, revision: str) -> Live:
    """The live name once it leads to `revision` alone, which ends what is in course."""
    if live is None:
        return Live(revision, "", datetime.now(UTC).isoformat())
    watch = watch_of(live)
    if watch and not watch.record.over:
        state: State = "promoted" if watch.record.revision == revision else "aborted"
        watch = watch.ended(state, f"the live name was moved to {revision}")
        live = replace(live, rollout=watch.model_dump_json())
    return routed(replace(live, traffic=""), revision)


def routed(live: Live, revision: str) -> Live:
    """The live name with that revision as the live one, from now on if it was not."""
    if live.revision == revision:
        return live
    return replace(live, revision=revision, before=live.revision, since=datetime.now(UTC).isoformat())


def answering(live: Live | None, ask: Callable[[], str]) -> str:
    """The revision that answers, as `ask` has it from an answer; in a rollout the live one answers in turn."""
    for _ in range(_TURNS):
        answered = ask()
        if live is None or len(serving(live)) == 1 or answered == live.revision:
            break
    return answered
