"""The steps of a pipeline's function: that they are there, have the libraries they ask for, and answer their examples."""

from __future__ import annotations

from jobs.check import model_code
from penstock import requirements, steps
from penstock.errors import SpecError
from penstock.findings import Checked, Finding
from penstock.settings import Settings
from penstock_function.package import PackageError
from penstock_function.step import Step

#: The parity gate's own, which the function compares numbers by where the spec says no other.
_TOLERANCE = 1e-6
_MEND = "mend the step; docs/steps.md says what it must have"


def check(pipeline: Checked, here: Settings) -> list[Finding]:
    """What is wrong with each step; whether it fits the model's columns only a run can tell."""
    return [finding for name in pipeline.steps for finding in _step(name, here)]


def _step(name: str, here: Settings) -> list[Finding]:
    where = f"steps/{name}/{steps.FILE}"
    try:
        code, *locks = steps.files(here.steps, name)
        for lock in locks:
            if lacking := model_code.libraries(lock, f"steps/{name}/{requirements.FILE}"):
                return lacking
        Step(name, code.read_bytes()).prove(_TOLERANCE)
    except (SpecError, PackageError) as error:
        todo = (error.next_step if isinstance(error, SpecError) else None) or _MEND
        return [Finding(severity="error", where=where, message=str(error), next_step=todo)]
    return []
