"""What is found in the steps of a function without a run."""

from __future__ import annotations

from pathlib import Path

from jobs.check import steps
from penstock.findings import Checked
from penstock.settings import Settings

STEP = """
TAKES = {"x": "int"}
GIVES = {"y": "int"}
EXAMPLES = [({"x": 1}, {"y": 2})]

def run(record):
    return {"y": record["x"] + 1}
"""


def find(folder: Path, source: str | None, lock: str | None = None) -> list[tuple[str, str, str]]:
    """Place, message and advice of each finding in the step `plus` of this source and lock."""
    settings = Settings(folder, folder / "var", f"file://{folder}/store", "sqlite:///none")
    (settings.steps / "plus").mkdir(parents=True)
    for name, text in (("step.py", source), ("requirements.txt", lock)):
        if text is not None:
            (settings.steps / "plus" / name).write_text(text)
    found = steps.check(
        Checked(name="shift", suites="shift", bundle="onnx", sources={}, steps=["plus"]), settings
    )
    return [(each.where, each.message, each.next_step) for each in found]


def test_a_sound_step_has_no_finding(tmp_path: Path) -> None:
    """Its examples are run."""
    assert find(tmp_path, STEP) == []


def test_a_step_that_is_not_there(tmp_path: Path) -> None:
    """It is named, with those that are."""
    [(where, message, _)] = find(tmp_path, None)
    assert where == "steps/plus/step.py"
    assert "there is no step 'plus'" in message


def test_a_wrong_answer(tmp_path: Path) -> None:
    """What was found and what is expected."""
    [(_, message, advice)] = find(tmp_path, STEP.replace("+ 1", "+ 2"))
    assert message == "example 0 of steps/plus/step.py: found {'y': 3}, expected {'y': 2}"
    assert "docs/steps.md" in advice


def test_a_library_that_is_not_here(tmp_path: Path) -> None:
    """It is said before the import fails of it, with what installs it; and a file that is no lock is said to be none."""
    [(where, message, advice)] = find(
        tmp_path / "a", f"import nowhere\n{STEP}", "nowhere==1.5 --hash=sha256:00"
    )
    assert where == "steps/plus/requirements.txt"
    assert message == "it asks for nowhere 1.5 (here: none)"
    assert "uv pip install" in advice
    [(where, message, _)] = find(tmp_path / "b", STEP, "nowhere")
    assert where == "steps/plus/requirements.txt"
    assert "is no lock" in message
