"""Following a rollout to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from penstock.errors import DeployError
from penstock.rollout.record import RolloutStatus
from penstock.targets import TargetError

#: Seconds between two looks, and for how long the target may be away: it may be on its way up again.
_LOOK: Final = 1.0
_PATIENCE: Final = 120.0


def follow(
    look: Callable[[], RolloutStatus | None], revision: str, say: Callable[[str], None]
) -> RolloutStatus:
    """The rollout of `revision` once it has ended, however long that takes; `say` is told how far it is.

    `look` takes its next step where nobody else does. Raises DeployError where the target no longer knows it, or does not answer: what
    is known of the rollout lies with the target.
    """
    told, seen = "", time.monotonic()
    while True:
        try:
            rollout = look()
        except TargetError as error:
            if time.monotonic() - seen > _PATIENCE:
                raise DeployError(
                    f"the rollout of {revision} cannot be followed: {error.message}",
                    next_step="run again: it is followed from where it is",
                ) from error
        else:
            seen = time.monotonic()
            if rollout is None or rollout.revision != revision:
                raise DeployError(
                    f"the rollout of {revision} is no longer known to the target",
                    next_step="see what serves: penstock status",
                )
            if rollout.over:
                return rollout
            stage = f"{rollout.share} % of requests" if rollout.share else "in the shadow"
            now = f"rollout {rollout.state}: {stage}, stage {rollout.stage} of {rollout.stages}"
            if now != told:
                say(now)
            told = now
        time.sleep(_LOOK)
