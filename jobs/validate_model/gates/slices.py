"""Gate 4, slices: no group that matters may get worse than it may.

The burden of proof is the other way round than in the champion gate. A small group could never show that it did
not lose; so a group refuses a model only where its interval shows a loss over `max_loss`. As many groups are looked
at, each interval is widened so that all hold together (Bonferroni): a model that lost nowhere is refused by chance
at most one time in twenty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.validate_model.bootstrap import Interval, inferior
from jobs.validate_model.gates.losses import allowed, said
from jobs.validate_model.gates.text import interval, off
from penstock.results import GateResult
from penstock.spec.gates import SliceGate

NAME = "slices"
#: All intervals of the groups hold together with this confidence.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Group:
    """One group's rows: column and value, how many, both models' metric.

    `challenger` with an interval of its own, `gain` with one that holds together with those of all groups.
    """

    column: str
    value: str
    rows: int
    challenger: Interval
    champion: float | None
    gain: Interval | None

    @property
    def name(self) -> str:
        return f"{self.column}={self.value}"


def gate(
    settings: SliceGate | None, metric: str, groups: Sequence[Group], *, small: int, missing: Sequence[str]
) -> GateResult:
    """Judge the groups of at least `min_rows` rows; `small` counts the groups with fewer.

    `missing`: slice columns that the holdout does not have. Without a champion the groups are shown, not judged.
    """
    if settings is None:
        return off(NAME)
    required = (
        f"no group of {settings.min_rows}+ rows whose interval ({CONFIDENCE:.0%} for all together) shows a loss "
        f"of {metric} over {said(metric, settings.max_loss)}"
    )
    if missing:
        return GateResult(
            name=NAME,
            passed=False,
            observed=f"no column {', '.join(missing)} in the holdout",
            required=required,
            why="a slice that cannot be looked at cannot be let pass",
            next_step="have features() give these columns, or take them out of the spec's slices",
        )
    compared = [group for group in groups if group.gain is not None]
    if not compared:
        why = "no slices in the spec" if not groups and not small else "nothing to compare with"
        return GateResult(
            name=NAME, passed=True, observed=_counted(len(groups), small), required=required, why=why
        )
    told = [group for group in compared if group.gain is not None and group.gain.known]
    lost = [group for group in told if _lost(group, metric, settings)]
    worst = min(told, key=lambda group: group.gain.point if group.gain else 0.0, default=None)
    observed = _counted(len(told), small)
    if worst is not None and worst.gain is not None:
        observed += (
            f"; the worst is {worst.name} ({worst.rows:,} rows): gain in {metric} {interval(worst.gain)}"
        )
    return GateResult(
        name=NAME,
        passed=not lost,
        observed=observed,
        required=required,
        why=_named(lost, metric) if lost else "no group shows such a loss",
        next_step="look at these groups' rows; give the model what tells them apart, or allow more with "
        "gates={'slices': {'max_loss': ...}}"
        if lost
        else "",
    )


def _lost(group: Group, metric: str, settings: SliceGate) -> bool:
    assert group.gain is not None
    assert group.champion is not None
    return inferior(group.gain, allowed(metric, group.champion, settings.max_loss))


def _named(lost: Sequence[Group], metric: str) -> str:
    shown = "; ".join(
        f"{group.name} ({group.rows:,} rows) {interval(group.gain)}"
        for group in lost[:10]
        if group.gain is not None
    )
    more = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
    plural = "group lost" if len(lost) == 1 else "groups lost"
    return f"{len(lost)} {plural} too much {metric}: {shown}{more}"


def _counted(judged: int, small: int) -> str:
    return f"{judged} groups" + (f" ({small} smaller ones not judged)" if small else "")
