"""What each target says of a rollout that cannot begin, or that is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.rollout.record import Record
from penstock.spec.rollout import Rollout
from penstock.targets import TargetError

_LOSSES: Final = Rollout().losses


def is_begun(name: str, live: str | None, last: Record | None, revision: str, run: str) -> bool:
    """Whether the function's rollout of `revision` is in course, or was begun by that very run.

    `live` is the revision that serves, `last` the last rollout. Raises TargetError (409) where it cannot begin.
    """
    if live is None:
        raise TargetError(
            f"{name} has no live revision to roll out beside",
            next_step="move the live name to one",
            status=409,
        )
    if last and last.revision == revision and (last.run == run or not last.over):
        return True
    if last and not last.over:
        raise TargetError(
            f"{last.revision} of {name} is being rolled out",
            next_step="wait for its end, or end it: penstock rollout PIPELINE abort",
            status=409,
        )
    if live == revision:
        raise TargetError(f"{revision} is the live revision of {name} already", status=409)
    return False


def check_plan(platform: str, plan: Rollout, faults: Sequence[str]) -> None:
    """Raises TargetError (422) where a platform, which is not the function host, cannot have a rollout, with every fault of its plan there."""
    no_labels = ["labels come to the function host alone: take losses out"] if plan.losses != _LOSSES else []
    if found := [*faults, *no_labels]:
        raise TargetError(
            f"this rollout cannot be had on {platform}: {'; '.join(found)}",
            next_step="docs/rollout.md has what each platform gives",
            status=422,
        )


def not_in_course(name: str) -> TargetError:
    """What is said to whoever steers a rollout that has ended, or never began."""
    return TargetError(
        f"no rollout of {name} is in course", next_step="its status tells the last one", status=409
    )
