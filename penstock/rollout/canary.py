"""The gate of a rollout."""

from __future__ import annotations

from penstock.results import GateResult


def canary(version: str, state: str, reason: str) -> GateResult:
    """The verdict of a rollout of `version` that ended in this state (`penstock.rollout.record.State`)."""
    passed = state == "promoted"
    return GateResult(
        name="canary",
        passed=passed,
        observed=reason,
        required="no worse than tolerated at any step",
        why=f"the rollout of version {version} ended as {state}: {reason}",
        next_step="" if passed else "mend the model and run again; to try this one again: --force deploy",
    )
