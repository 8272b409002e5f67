"""Whole pipelines: a project folder of its own that shares this checkout's code, and free ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import airflow_api, free_port

ROOT = Path(__file__).parents[2]
SHARED = ("jobs", "images", "plugins", "penstock")


@dataclass(frozen=True)
class Project:
    """A project root in a temporary folder, and the command line in it."""

    root: Path
    environment: dict[str, str]

    @property
    def var(self) -> Path:
        return self.root / "var"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `penstock ARGUMENTS` as the leader of its own session."""
        return subprocess.Popen(
            [sys.executable, "-m", "penstock", *arguments],
            cwd=self.root, env=self.environment, start_new_session=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def penstock(self, *arguments: str, status: int = 0) -> Any:
        """The JSON answer of `penstock ARGUMENTS --json`; fails where its exit status is another one."""
        process = self.start(*arguments, "--json")
        out, err = process.communicate()
        assert process.returncode == status, f"{arguments}: exit {process.returncode}\n{err}\n{out}"
        return json.loads(out) if out.strip() else None

    def airflow(self) -> httpx.Client:
        """The API of this project's Airflow, which is up."""
        password = json.loads((self.var / "airflow" / "passwords.json").read_text())["admin"]
        return airflow_api(f"http://127.0.0.1:{self.environment['PENSTOCK_AIRFLOW_PORT']}", password)

    def share_downloads(self) -> None:
        """Make images of what was downloaded for the environment here, instead of downloading it again."""
        (self.var / "cache").mkdir(parents=True)
        for name in ("uv", "jars"):
            there = ROOT / "var" / "cache" / name
            there.mkdir(parents=True, exist_ok=True)
            (self.var / "cache" / name).symlink_to(there)

    def jobs(self, stage: str) -> list[int]:
        """The processes of this project's jobs of a stage (of any, for ""): each leads its own group."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            except OSError:
                continue
            words = [word.decode(errors="replace") for word in command]
            mine = any(word.startswith(f"{self.var}/tmp/") for word in words)
            if mine and any(
                word == f"jobs.{stage}" or (not stage and word.startswith("jobs.")) for word in words
            ):
                found.append(int(entry.name))
        return found


@contextmanager
def projects(folder: Callable[[str], Path]) -> Iterator[Callable[[], Project]]:
    """Makes empty projects; what runs in them is stopped at the end."""
    made: list[Project] = []

    def make() -> Project:
        root = folder("project")
        for name in SHARED:
            (root / name).symlink_to(ROOT / name)
        for name in ("dags", "expectations"):
            (root / name).mkdir()
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PENSTOCK"))}
        environment |= {
            "PENSTOCK_ROOT": str(root),
            "PENSTOCK_AIRFLOW_PORT": str(free_port()),
            "PENSTOCK_MLFLOW_PORT": str(free_port()),
            "PENSTOCK_HOST_PORT": str(free_port()),
        }
        made.append(Project(root, environment))
        return made[-1]

    yield make
    for project in made:
        project.penstock("down")


@pytest.fixture(scope="module")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Project]]:
    """Projects that end with the module's tests."""
    with projects(tmp_path_factory.mktemp) as make:
        yield make
