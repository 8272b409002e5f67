"""A rollout on this host: its course, and the process that takes a share of the traffic."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.host.runner import Runner, State
from penstock.rollout.dealt import DealtCourse


@dataclass
class Rolling:
    """`shadows` requests are being answered by the candidate for nobody to see."""

    course: DealtCourse
    runner: Runner
    shadows: int = 0

    def ready(self) -> bool:
        """Whether the candidate can answer now; if not it is started, where it is at zero, and nobody waits for it."""
        self.runner.wake()
        return self.runner.state is State.READY
