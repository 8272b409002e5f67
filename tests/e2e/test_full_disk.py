"""A disk that is full under a whole run: said plainly, nothing half-done, and the next run ends as an undisturbed one."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from penstock.errors import DeployError, StoreError
from penstock.stages import CHAIN
from tests.e2e.conftest import Project
from tests.e2e.ends import NOTHING_REGISTERED, PIPELINE, end_of, registered, revisions, scaffold
from tests.full_disk import NO_BYTECODE, full_disk

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.timeout(1800)]

#: Bytes that a file may have from the start of a run: nothing at all, its first lines, not a table.
FROM_THE_START = [0, 400, 4_000]
#: In a stage's job, once it began. What it has in memory it cannot keep.
IN_A_STAGE = 200
SAID = ("File too large", "the disk is full", "disk I/O error")


def test_a_full_disk_under_a_whole_run(make_project: Callable[[], Project]) -> None:
    """Full from the start, then in each stage: the run fails and says so, and the next goes on where it stopped."""
    disturbed, undisturbed = make_project(), make_project()
    for project in (disturbed, undisturbed):
        scaffold(project)
    disturbed.environment.update(NO_BYTECODE)
    for free in FROM_THE_START:
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
    assert ended == end_of(undisturbed, undisturbed.penstock("run", PIPELINE))
    assert (ended["state"], ended["version"], ended["revisions"]) == ("succeeded", "1", 1)


def _fill_in(project: Project, stage: str, run: subprocess.Popen[str]) -> None:
    """From when a stage's first job is seen, no job of that stage may write more than IN_A_STAGE bytes to a file."""
    while run.poll() is None:
        for pid in project.jobs(stage):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (IN_A_STAGE, IN_A_STAGE))
        time.sleep(0.05)


def _refused(run: subprocess.Popen[str]) -> str | None:
    """The stage at which a run failed, None before any; asserts that it said that the disk is full, and what to do."""
    out, err = run.communicate()
    assert run.returncode in (StoreError.exit_code, DeployError.exit_code), f"{err}\n{out}"
    assert any(words in err for words in SAID), err
    answer = json.loads(out)
    failed = [stage["name"] for stage in answer.get("stages", []) if stage["state"] == "failed"]
    return failed[0].partition("@")[0] if failed else None
