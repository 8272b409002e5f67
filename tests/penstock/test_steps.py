"""A function's steps: folders of the project, known by the content of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import steps
from penstock.errors import SpecError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The steps of a project: one with a lock, one without."""
    for name in ("clock", "band"):
        (tmp_path / "steps" / name).mkdir(parents=True)
        (tmp_path / "steps" / name / "step.py").write_text("code")
    (tmp_path / "steps/clock/requirements.txt").write_text("lock")
    return tmp_path / "steps"


def test_a_step_is_its_code_and_its_lock(folder: Path) -> None:
    """What else lies beside them is not part of it."""
    (folder / "clock/requirements.in").write_text("asked")
    assert [path.name for path in steps.files(folder, "clock")] == ["step.py", "requirements.txt"]
    assert [path.name for path in steps.files(folder, "band")] == ["step.py"]


def test_the_digest_is_that_of_the_content(folder: Path) -> None:
    """Each of its files counts, and nothing else; another step with the same content is another step."""
    before = steps.digest(folder, "clock")
    (folder / "clock/README.md").write_text("more")
    assert steps.digest(folder, "clock") == before
    for name in ("step.py", "requirements.txt"):
        (folder / "clock" / name).write_text("changed")
        assert steps.digest(folder, "clock") != before
        before = steps.digest(folder, "clock")
    (folder / "clock/requirements.txt").unlink()
    (folder / "clock/step.py").write_text("code")
    assert steps.digest(folder, "clock") != steps.digest(folder, "band")


def test_a_step_that_is_not_there_is_named(folder: Path) -> None:
    """With those that are."""
    with pytest.raises(
        SpecError, match=r"there is no step 'weather' \(no steps/weather/step.py\); steps here: band, clock"
    ):
        steps.digest(folder, "weather")
    with pytest.raises(SpecError, match="steps here: none"):
        steps.files(folder / "nowhere", "clock")


def test_a_step_among_the_inputs_of_work() -> None:
    """It is known by its name, and nothing else is taken for one."""
    assert steps.named(steps.input_of("clock")) == "clock"
    assert [steps.named(name) for name in ("train", "folder", "suite")] == [None] * 3
