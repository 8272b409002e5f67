"""SIGKILL in any stage and during publish, then a re-run; a clock that is wrong: the same end as an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.stages import CHAIN
from penstock.store import Store
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE, end_of, scaffold

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.timeout(1800)]

#: A stage, and seconds after its job began: at its start, in its work, about its commit.
KILLS = [
    ("collect", 0.3), ("collect", 1.5), ("validate", 0.8), ("validate", 3.0), ("features", 2.0), ("features", 8.0),
    ("train", 2.0), ("train", 10.0), ("register", 0.5), ("register", 2.0), ("register", 3.0), ("register", 4.0),
    ("validate_model", 2.0), ("deploy", 0.5), ("deploy", 1.5), ("deploy", 2.5),
]  # fmt: skip


#: The scaffold's newest month.
DATE = "2024-12-01"
#: Python reads it before anything else: the clock of jobs, as that of another machine, stands before the data's time.
_CLOCK = """
import pathlib, time
if b"jobs." in pathlib.Path("/proc/self/cmdline").read_bytes():
    import time_machine
    time_machine.travel(time.time() - 800 * 86_400, tick=True).start()
"""


@pytest.fixture(scope="module")
def expected(make_project: Callable[[], Project]) -> dict[str, Any]:
    """The end of an undisturbed run."""
    project = make_project()
    scaffold(project)
    return end_of(project, project.penstock("run", PIPELINE, "--date", DATE))


def test_a_wrong_clock_changes_nothing(
    make_project: Callable[[], Project], expected: dict[str, Any], tmp_path: Path
) -> None:
    """A job's data are those of its interval, also where its machine's clock stands at a time before that."""
    project = make_project()
    scaffold(project)
    (tmp_path / "sitecustomize.py").write_text(_CLOCK)
    project.environment["PYTHONPATH"] = str(tmp_path)
    answer = project.penstock("run", PIPELINE, "--date", DATE)
    del project.environment["PYTHONPATH"]
    (key,) = (stage["key"] for stage in answer["stages"] if stage["name"] == "train")
    made = Store(f"file://{project.var}/store").result(PIPELINE, "train", key)
    assert made is not None
    assert made.started < DATE
    assert end_of(project, answer) == expected


def test_killed_everywhere(make_project: Callable[[], Project], expected: dict[str, Any]) -> None:
    """Killed at sixteen moments over all stages, a run ends as an undisturbed one: same keys, one version, one revision."""
    disturbed = make_project()
    scaffold(disturbed)
    draw = random.Random(7)
    killed = [stage for stage, after in KILLS if _kill_in(disturbed, stage, after * draw.uniform(0.8, 1.2))]
    assert {stage.name for stage in CHAIN} == set(killed), f"kills that met their stage's job alive: {killed}"
    ended = end_of(disturbed, disturbed.penstock("run", PIPELINE))
    assert ended == expected
    assert (ended["state"], ended["version"], ended["revisions"]) == ("succeeded", "1", 1)


def _kill_in(project: Project, stage: str, after: float) -> bool:
    """Run until `after` seconds into a stage's job, then kill the run and its jobs; False where the job ended before."""
    run = project.start("run", PIPELINE)
    try:
        while run.poll() is None:
            jobs = project.jobs(stage)
            if jobs:
                time.sleep(after)
                met = set(jobs) <= set(project.jobs(stage))
                _kill(project, run)
                return met
            time.sleep(0.05)
        return False
    finally:
        _kill(project, run)
        run.communicate()


def _kill(project: Project, run: subprocess.Popen[str]) -> None:
    for pid in [run.pid, *project.jobs("")]:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
