"""The steps of functions: `steps/NAME/`, a user's own Python around the model, shared by all pipelines that name it.

A step is `step.py`, which the package holds and the runtime executes (penstock_function.step says what is in it), and where it
needs libraries `requirements.txt`, a lock as a pipeline's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from penstock import keys, requirements
from penstock.errors import SpecError

#: The file of a step's code in its folder.
FILE: Final = "step.py"
_INPUT = "step "


def files(steps: Path, name: str) -> list[Path]:
    """The files of the step `steps/NAME`: its code, and its lock where there is one. Raises SpecError for no such step."""
    code, lock = steps / name / FILE, steps / name / requirements.FILE
    if not code.is_file():
        known = ", ".join(sorted(path.parent.name for path in steps.glob(f"*/{FILE}"))) or "none"
        raise SpecError(
            f"there is no step {name!r} (no steps/{name}/{FILE}); steps here: {known}",
            next_step="correct function.steps in the pipeline's spec, or write the step (docs/steps.md)",
        )
    return [code, lock] if lock.is_file() else [code]


def digest(steps: Path, name: str) -> str:
    """The digest of a step's files. Raises SpecError for no such step."""
    return keys.digest_files(steps, files(steps, name))


def locks(steps: Path, names: Iterable[str]) -> list[Path]:
    """Where the locks of steps are, or would be. Raises SpecError for no such step."""
    return [files(steps, name)[0].with_name(requirements.FILE) for name in names]


def input_of(name: str) -> str:
    """What a step is called among the inputs of a stage's work."""
    return f"{_INPUT}{name}"


def named(input_: str) -> str | None:
    """The step that an input of a stage's work is, or None."""
    return input_.removeprefix(_INPUT) if input_.startswith(_INPUT) else None
