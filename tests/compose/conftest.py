"""docker-compose.yml on a real engine: with its public images, or with their like from Debian's packages."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Project, make_project
from tests.e2e.ends import PIPELINE, change, scaffold
from tests.library import STEP, add_step
from tests.penstock.conftest import make_function

__all__ = ["make_function", "make_project"]

#: Where no registry is to be had: what our images stand on (Debian with Python), and a Debian with PostgreSQL and wget.
BASE_IMAGE, SERVICES_IMAGE = "PENSTOCK_BASE_IMAGE", "PENSTOCK_SERVICES_IMAGE"
DEBIAN = ROOT / "tests/compose/debian"
#: What Compose runs on is built first.
ROOMS = ("machine", "function", "function-mleap", "job", "function-grpc", "airflow")


def docker(*arguments: str | Path, environment: dict[str, str] | None = None) -> str:
    """What `docker ARGUMENTS` prints; fails where it fails."""
    ran = subprocess.run(
        ["docker", *arguments], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert ran.returncode == 0, f"docker {arguments}: {ran.stderr[-4000:]}"
    return ran.stdout.strip()


@pytest.fixture(scope="session")
def room() -> Iterator[Callable[[str], str]]:
    """The image of a room, by its name. They are built one by one, by the command that people use, beside the first tests."""
    base = os.environ.get(BASE_IMAGE)

    def build(name: str) -> str:
        command = [sys.executable, "-m", "penstock", "image", "room", name, "--json"]
        options = ["--base-image", base] if base else []
        ran = subprocess.run([*command, *options], cwd=ROOT, check=True, stdout=subprocess.PIPE)
        return str(json.loads(ran.stdout)["image"])

    with ThreadPoolExecutor(1) as beside:
        images = {name: beside.submit(build, name) for name in ROOMS}
        yield lambda name: images[name].result()
        beside.shutdown(cancel_futures=True)


def stepped(project: Project) -> None:
    """The scaffold's pipeline, whose function has a step that needs a library of its own; images can be made of it."""
    project.share_downloads()
    scaffold(project)
    add_step(project.root)
    spec = project.root / "dags" / PIPELINE / "pipeline.py"
    change(spec, "    slices=", f'    function={{"steps": ["score", "{STEP}"]}},\n    slices=')


@dataclass(frozen=True)
class Stack:
    """The containers of docker-compose.yml over the dags/, expectations/ and data/ of a project."""

    project: Project
    name: str
    files: tuple[Path, ...]

    def compose(self, *arguments: str) -> str:
        """What `docker compose ARGUMENTS` prints."""
        files = [option for file in self.files for option in ("--file", str(file))]
        where = ["--project-directory", str(self.project.root), "--project-name", self.name]
        return docker("compose", *where, *files, *arguments, environment=self.project.environment)

    def penstock(self, *arguments: str) -> Any:
        """The JSON answer of a command of ours in the scheduler's container."""
        said = self.compose(
            "exec", "-T", "airflow-scheduler", "python3", "-m", "penstock.container", "penstock", *arguments, "--json"
        )  # fmt: skip
        return json.loads(said)

    def url(self, service: str) -> str:
        """Where a service answers on this machine."""
        return f"http://127.0.0.1:{self.project.environment[f'PENSTOCK_{service}_PORT']}"

    def password(self) -> str:
        """Of Airflow's admin, as docs/compose.md has it."""
        said = self.compose("exec", "-T", "airflow-api-server", "cat", "/scratch/airflow/passwords.json")
        return str(json.loads(said)["admin"])


@pytest.fixture(scope="module")
def stack(make_project: Callable[[], Project], room: Callable[[str], str]) -> Iterator[Stack]:
    """Not up yet; at the end nothing is left of it."""
    room("machine")
    files = [ROOT / "docker-compose.yml"]
    if base := os.environ.get(SERVICES_IMAGE):
        for name, context in (("postgres", DEBIAN), ("s3", ROOT / "var/cache/bin")):
            docker(
                "build", "--quiet", "--build-arg", f"BASE_IMAGE={base}", "--tag", f"penstock-test/{name}",
                "--file", DEBIAN / f"{name}.Dockerfile", context,
            )  # fmt: skip
        files.append(DEBIAN / "override.yml")
    made = Stack(make_project(), f"penstock-test-{secrets.token_hex(3)}", tuple(files))
    yield made
    made.compose("down", "--volumes", "--timeout", "30")
