"""Gate 3, champion: the candidate must not be worse than what serves, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobs.validate_model.bootstrap import Interval, not_inferior
from jobs.validate_model.gates.losses import allowed
from jobs.validate_model.gates.text import interval, number, off
from penstock.results import GateResult
from penstock.spec.gates import ChampionGate

NAME = "champion"


@dataclass(frozen=True)
class Duel:
    """Champion and challenger by the primary metric, on the rows that both answer.

    `gain`: challenger less champion with its paired interval, positive is better. `rows`: how many rows of the
    `holdout` rows. `how`: how the champion's answers came about.
    """

    version: str
    metric: str
    champion: float
    challenger: float
    gain: Interval
    rows: int
    holdout: int
    how: str


@dataclass(frozen=True)
class Unscorable:
    """A champion whose answers on these rows cannot be had, why, and what to do."""

    version: str
    why: str
    next_step: str


def gate(
    settings: ChampionGate | None,
    found: Duel | Unscorable | None,
    *,
    window_end: datetime,
    champion_window_end: datetime | None,
) -> GateResult:
    """Judge a candidate whose training window ends at `window_end`; `found` is None where nothing serves yet.

    It passes where the paired interval excludes a loss over `max_loss` (non-inferiority). A window older than the
    champion's never passes, not even with the gate off: an old run made again must not displace a newer model.
    """
    if champion_window_end is not None and window_end < champion_window_end:
        return _too_old(window_end, champion_window_end)
    if settings is None:
        return off(NAME)
    if found is None:
        return GateResult(
            name=NAME,
            passed=True,
            observed="no champion",
            required="nothing: the first model is judged by the other gates alone",
            why="nothing serves yet, so there is nothing to compare with",
        )
    if isinstance(found, Unscorable):
        return GateResult(
            name=NAME,
            passed=False,
            observed=f"champion version {found.version} cannot be compared on these rows",
            required="both models on the same rows",
            why=found.why,
            next_step=found.next_step,
        )
    return _judged(settings, found)


def _judged(settings: ChampionGate, duel: Duel) -> GateResult:
    loss = allowed(duel.metric, duel.champion, settings.max_loss)
    passed = not_inferior(duel.gain, loss)
    level = f"{settings.confidence:.4g}"
    if not duel.gain.known:
        why = f"{duel.metric} cannot be told apart on these {duel.rows} rows (one class only, or too few)"
        next_step = "widen the holdout in the spec so that it holds every class"
    elif passed:
        better = "and shows a gain" if duel.gain.low > 0 else "so it is not worse"
        why = f"the interval excludes a loss over {number(loss)}, {better}"
        next_step = ""
    else:
        why = f"the interval does not exclude a loss over {number(loss)}: it reaches {number(-duel.gain.low)}"
        next_step = (
            "the champion goes on serving; see the slices for where it lost, or allow more with "
            "gates={'champion': {'max_loss': ...}}"
        )
    return GateResult(
        name=NAME,
        passed=passed,
        observed=f"{duel.metric} {number(duel.challenger)} against {number(duel.champion)} of version {duel.version}: "
        f"gain {interval(duel.gain)} on {duel.rows:,} of {duel.holdout:,} rows ({duel.how})",
        required=f"paired {level} interval of the gain above {number(-loss)}",
        why=why,
        next_step=next_step,
    )


def _too_old(window_end: datetime, champion: datetime) -> GateResult:
    return GateResult(
        name=NAME,
        passed=False,
        observed=f"training window ends {window_end:%Y-%m-%d %H:%M}",
        required=f"not before the champion's, {champion:%Y-%m-%d %H:%M}",
        why="a model of an older window never takes the place of a newer one",
        next_step="nothing, if this run was to fill a gap; to go back on purpose use `penstock rollback`",
    )
