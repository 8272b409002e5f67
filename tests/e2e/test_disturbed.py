"""SIGKILL in any stage and during publish, under a clock that is wrong, or a full disk, then a re-run: the same end as an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from penstock.errors import DeployError, StoreError
from penstock.stages import CHAIN
from penstock.store import Store
from tests.e2e.conftest import Project
from tests.e2e.ends import NOTHING_REGISTERED, PIPELINE, end_of, registered, revisions, scaffold
from tests.full_disk import NO_BYTECODE, full_disk

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.timeout(1800)]

#: A stage, and seconds after its job began: at its start, in its work, about its commit.
KILLS = [
    ("collect", 0.3), ("collect", 1.5), ("validate", 0.8), ("validate", 3.0), ("features", 2.0), ("features", 8.0),
    ("train", 2.0), ("train", 10.0), ("register", 0.5), ("register", 2.0), ("register", 3.0), ("register", 4.0),
    ("validate_model", 2.0), ("deploy", 0.5), ("deploy", 1.5), ("deploy", 2.5),
]  # fmt: skip
#: Bytes that a file may have from the start of a run: nothing at all, its first lines, not a table.
FULL_FROM_THE_START = [0, 400, 4_000]
#: In a stage's job, once it began. What it has in memory it cannot keep.
FULL_IN_A_STAGE = 200
#: What says that it was the disk.
FULL = ("File too large", "the disk is full", "disk I/O error")
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


def test_killed_everywhere_under_a_wrong_clock(
    make_project: Callable[[], Project], expected: dict[str, Any], tmp_path: Path
) -> None:
    """Killed at sixteen moments over all stages, a run ends as an undisturbed one: same keys, one version, one revision.

    So it does where the clock of its jobs stands at a time before their data: these are those of the interval.
    """
    disturbed = make_project()
    scaffold(disturbed)
    (tmp_path / "sitecustomize.py").write_text(_CLOCK)
    disturbed.environment["PYTHONPATH"] = str(tmp_path)
    draw = random.Random(7)
    killed = [stage for stage, after in KILLS if _kill_in(disturbed, stage, after * draw.uniform(0.8, 1.2))]
    assert {stage.name for stage in CHAIN} == set(killed), f"kills that met their stage's job alive: {killed}"
    answer = disturbed.penstock("run", PIPELINE, "--date", DATE)
    del disturbed.environment["PYTHONPATH"]
    (key,) = (stage["key"] for stage in answer["stages"] if stage["name"] == "train")
    made = Store(f"file://{disturbed.var}/store").result(PIPELINE, "train", key)
    assert made is not None
    assert made.started < DATE
    ended = end_of(disturbed, answer)
    assert ended == expected
    assert (ended["state"], ended["version"], ended["revisions"]) == ("succeeded", "1", 1)


def _kill_in(project: Project, stage: str, after: float) -> bool:
    """Run until `after` seconds into a stage's job, then kill the run and its jobs; False where the job ended before."""
    run = project.start("run", PIPELINE, "--date", DATE)
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


def test_a_full_disk_under_a_whole_run(make_project: Callable[[], Project], expected: dict[str, Any]) -> None:
    """Full from the start, then in each stage: the run fails and says so, and the next goes on where it stopped."""
    disturbed = make_project()
    scaffold(disturbed)
    disturbed.environment.update(NO_BYTECODE)
    for free in FULL_FROM_THE_START:
        # The limit is inherited, by the run and by each job that it starts.
        with full_disk(free):
            run = disturbed.start("run", PIPELINE, "--json")
        _refused(run)
        assert registered(disturbed) == NOTHING_REGISTERED
    for stage in CHAIN:
        run = disturbed.start("run", PIPELINE, "--json")
        _fill_in(disturbed, stage.name, run)
        assert _refused(run) == stage.name
        assert revisions(disturbed) == []
    disturbed.penstock("down")  # the deploy job started the function host, whose disk is as full
    ended = end_of(disturbed, disturbed.penstock("run", PIPELINE))
    assert ended == expected
    assert (ended["state"], ended["version"], ended["revisions"]) == ("succeeded", "1", 1)


def _fill_in(project: Project, stage: str, run: subprocess.Popen[str]) -> None:
    """From when a stage's first job is seen, no job of that stage may write more than FULL_IN_A_STAGE bytes to a file."""
    while run.poll() is None:
        for pid in project.jobs(stage):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (FULL_IN_A_STAGE, FULL_IN_A_STAGE))
        time.sleep(0.05)


def _refused(run: subprocess.Popen[str]) -> str | None:
    """The stage at which a run failed, None before any; asserts that it said that the disk is full, and what to do."""
    out, err = run.communicate()
    assert run.returncode in (StoreError.exit_code, DeployError.exit_code), f"{err}\n{out}"
    assert any(words in err for words in FULL), err
    answer = json.loads(out)
    failed = [stage["name"] for stage in answer.get("stages", []) if stage["state"] == "failed"]
    return failed[0].partition("@")[0] if failed else None
