"""The images of the rooms: bounded in size, without a right too many, and each does what it is for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.compose.conftest import BASE_IMAGE, ROOT, docker
from tests.jobs.small_packages import linear, package
from tests.servers import free_port, until

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1800)]

ROOMS = ("function", "function-grpc", "airflow", "job", "machine")
LIBRARY = {
    "function": "onnxruntime",
    "function-grpc": "grpc",
    "airflow": "airflow",
    "job": "pyspark",
    "machine": "mlflow.server",
}
ABSENT = {
    "function": "grpc",
    "function-grpc": "penstock",
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
    said = docker("run", "--rm", "--read-only", "--tmpfs", "/scratch", image, "-c", look, LIBRARY[room_name], ABSENT[room_name])  # fmt: skip
    absent, components, tools, settings = json.loads(said.splitlines()[-1])
    assert absent
    assert components > 10
    assert (tools, settings) == ([], [])


@pytest.fixture
def function(room: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """The function image on a package, with nothing to write to; its URL."""
    image, port = room("function"), free_port()
    samples = ([{"distance": 1.0}], [{"prediction": 2.0}])
    folder = package(tmp_path / "package", linear({"distance": 2.0}), {"distance": "double"}, samples)
    container = docker(
        "run", "--detach", "--read-only", "--cap-drop", "ALL", "--volume", f"{folder}:/package:ro",
        "--publish", f"127.0.0.1:{port}:8080", image,
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}"
    docker("rm", "--force", container)


def test_a_mounted_package_is_served(function: str) -> None:
    """By its default command alone."""

    def answers() -> bool:
        try:
            return httpx.get(f"{function}/health", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    until(answers)
    answer = httpx.post(f"{function}/predict", json={"distance": 3.0}, trust_env=False).json()
    assert answer["prediction"] == 6.0
