"""Gate 5, parity: the package's answers are Spark's own, on every row of the holdout and on the samples."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.validate_model.gates.text import number, off
from penstock.results import GateResult
from penstock.spec.gates import ParityGate

NAME = "parity"


@dataclass(frozen=True)
class Difference:
    """The largest difference over all rows and outputs, relative to max(1, |Spark's|), and where it is."""

    rows: int
    samples: int
    largest: float
    where: str
    sample_fault: str | None


def gate(settings: ParityGate | None, found: Difference) -> GateResult:
    """Judge the difference between the package and Spark."""
    if settings is None:
        return off(NAME)
    agrees = found.largest <= settings.tolerance
    passed = agrees and found.sample_fault is None
    if passed:
        why = "the package answers as Spark does"
    else:
        faults = [] if agrees else [f"{found.where} differs"]
        if found.sample_fault is not None:
            faults.append(found.sample_fault)
        why = "; ".join(faults)
    return GateResult(
        name=NAME,
        passed=passed,
        observed=f"largest difference {number(found.largest)} over {found.rows:,} rows; "
        + (f"{found.samples} samples proved" if found.sample_fault is None else "samples not proved"),
        required=f"at most {number(settings.tolerance)}, relative to max(1, |x|), nulls and unseen categories among them",
        why=why,
        next_step=""
        if passed
        else "this is a defect of the conversion, not of the model: report it with the row named here; until then "
        "use other stages in estimator()",
    )
