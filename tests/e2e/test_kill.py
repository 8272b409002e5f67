"""SIGKILL in any stage and during publish, then a re-run: the same end as an undisturbed run."""

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

from penstock.registry import CHALLENGER, CHAMPION, PROMOTED_AT, REGISTER_PATH, VERDICT_PATH, Registry
from penstock.stages import CHAIN
from tests.e2e.conftest import Project

pytestmark = [pytest.mark.e2e, pytest.mark.spark, pytest.mark.timeout(1800)]

#: A stage, and seconds after its job began: at its start, in its work, about its commit.
KILLS = [
    ("collect", 0.3), ("collect", 1.5), ("validate", 0.8), ("validate", 3.0), ("features", 2.0), ("features", 8.0),
    ("train", 2.0), ("train", 10.0), ("register", 0.5), ("register", 2.0), ("register", 3.0), ("register", 4.0),
    ("validate_model", 2.0), ("deploy", 0.5), ("deploy", 1.5), ("deploy", 2.5),
]  # fmt: skip


def test_killed_everywhere(make_project: Callable[[], Project]) -> None:
    """Killed at sixteen moments over all stages, a run ends as an undisturbed one: same keys, one version, one revision."""
    disturbed, undisturbed = make_project(), make_project()
    for project in (disturbed, undisturbed):
        project.penstock("init", "parcels_late")
    expected = undisturbed.penstock("run", "parcels_late")
    draw = random.Random(7)
    killed = [stage for stage, after in KILLS if _kill_in(disturbed, stage, after * draw.uniform(0.8, 1.2))]
    assert {stage.name for stage in CHAIN} == set(killed), f"kills that met their stage's job alive: {killed}"
    ended = disturbed.penstock("run", "parcels_late")
    assert _keys(ended) == _keys(expected)
    assert ended["state"] == expected["state"] == "succeeded"
    assert ended["version"] == "1"
    assert _registered(disturbed) == _registered(undisturbed)
    assert len(_revisions(disturbed)) == len(_revisions(undisturbed)) == 1
    assert _answer(disturbed) == _answer(undisturbed)


def _kill_in(project: Project, stage: str, after: float) -> bool:
    """Run until `after` seconds into a stage's job, then kill the run and its jobs; False where the job ended before."""
    run = project.start("run", "parcels_late")
    try:
        while run.poll() is None:
            jobs = _jobs(project, stage)
            if jobs:
                time.sleep(after)
                met = set(jobs) <= set(_jobs(project, stage))
                _kill(project, run)
                return met
            time.sleep(0.05)
        return False
    finally:
        _kill(project, run)
        run.communicate()


def _kill(project: Project, run: subprocess.Popen[str]) -> None:
    for pid in [run.pid, *_jobs(project, "")]:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _jobs(project: Project, stage: str) -> list[int]:
    """The processes of this project's jobs of a stage (of any, for ""): each leads its own group."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        words = [word.decode(errors="replace") for word in command]
        mine = any(word.startswith(f"{project.var}/tmp/") for word in words)
        if mine and any(
            word == f"jobs.{stage}" or (not stage and word.startswith("jobs.")) for word in words
        ):
            found.append(int(entry.name))
    return found


def _keys(answer: dict[str, Any]) -> dict[str, list[str]]:
    """Stage to keys, from where they rest on content: collect's rest on where and when its files were written."""
    return {
        stage["name"]: stage["key"]
        for stage in answer["stages"]
        if not stage["name"].startswith(("collect", "deploy"))
    }


def _registered(project: Project) -> dict[str, Any]:
    """Versions with their tags (of a path without who attempted it, of a time only that it is there), and aliases."""
    registry = Registry(f"sqlite:///{project.var}/mlflow/mlflow.db")
    same = {PROMOTED_AT: lambda value: "then", REGISTER_PATH: _attempted, VERDICT_PATH: _attempted}
    aliases = {alias: registry.by_alias("parcels_late", alias) for alias in (CHAMPION, CHALLENGER)}
    return {
        "aliases": {alias: version.version if version else None for alias, version in aliases.items()},
        "tags": {
            version.version: {tag: same.get(tag, str)(value) for tag, value in version.tags.items()}
            for version in registry.versions("parcels_late")
        },
    }


def _attempted(path: str) -> str:
    return path.rpartition("/")[0]


def _revisions(project: Project) -> list[str]:
    return [path.name for path in (project.var / "host/functions/parcels_late/revisions").iterdir()]


def _answer(project: Project) -> Any:
    return project.penstock(
        "invoke", "parcels_late",
        "--data", '{"carrier": "swift", "express": "true", "distance_km": 152.0, "weight_kg": null}',
    )  # fmt: skip
