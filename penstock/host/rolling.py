"""A rollout on this host: its course, and the process that takes a share of the traffic."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.host.limits import Limits
from penstock.host.manifest import PackageFault, read_manifest
from penstock.host.runner import Runner, State
from penstock.rollout.dealt import DealtCourse
from penstock.rollout.labels import Answers, Problem
from penstock.rollout.record import Record


@dataclass
class Rolling:
    """`shadows` requests are being answered by the candidate for nobody to see."""

    course: DealtCourse
    runner: Runner
    shadows: int = 0

    @classmethod
    def of(cls, record: Record, runner: Runner, limits: Limits) -> Rolling:
        """The rollout `record` to the revision of `runner`; what labels may come for is as its package says."""
        try:
            manifest, _ = read_manifest(runner.package)
        except PackageFault:  # damaged on disk: its process does not start, and says why
            return cls(DealtCourse(record), runner)
        problem = Problem(manifest.classes or (), manifest.output == "probability")
        return cls(DealtCourse(record, Answers(problem, limits.remembered)), runner)

    def ready(self) -> bool:
        """Whether the candidate can answer now; if not it is started, where it is at zero, and nobody waits for it."""
        self.runner.wake()
        return self.runner.state is State.READY
