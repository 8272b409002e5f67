"""The data gate: a pure function of the checks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jobs.validate.checks import Check
from penstock.results import GateResult

_REQUIRED = "no failed expectation of severity critical"
_ROW_LENGTH = 300


def verdict(subject: str, suite: str, checks: Sequence[Check], *, rows: bool, on: bool) -> GateResult:
    """The gate `data` for one collected interval. `rows`: there were any; `on`: the spec did not switch it off."""
    if not rows:
        return GateResult(
            name="data", passed=True, off=not on, observed="no rows", required=_REQUIRED,
            why=f"{subject} holds no rows, so nothing of the suite {suite} was checked",
        )  # fmt: skip
    critical = [check for check in checks if not check.passed and check.severity == "critical"]
    others = [check for check in checks if not check.passed and check.severity != "critical"]
    observed = f"{len(critical)} of {len(checks)} expectations failed"
    if others:
        observed += f", {len(others)} more with a warning"
    lines = [_explained(check) for check in [*critical, *others]]
    off = [] if on else ["the gate is switched off in the spec: the data is used whatever it is"]
    return GateResult(
        name="data",
        passed=not critical or not on,
        off=not on,
        observed=observed,
        required=_REQUIRED,
        why="\n".join([*off, *lines]) or f"all of the suite {suite} holds for {subject}",
        next_step=f"correct the data at the source, or the suite {suite} if the expectation is wrong"
        if critical
        else "",
    )


def _explained(check: Check) -> str:
    lines = [f"{check.severity}: {check.title}: {check.observed}"]
    for row in check.rows:
        text = json.dumps(row, ensure_ascii=False)
        lines.append("  " + (text if len(text) <= _ROW_LENGTH else text[: _ROW_LENGTH - 1] + "…"))
    return "\n".join(lines)
