"""The embedded target: from a folder with a package to answers, whatever happens to the host in between."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import psutil
import pytest

from penstock import targets
from penstock.spec.function import Function
from penstock.targets import TargetError, open_target
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.conftest import MakeFunction


@pytest.fixture
def target(tmp_path: Path) -> Iterator[EmbeddedTarget]:
    """A target whose host is stopped after the test."""
    embedded = EmbeddedTarget(tmp_path / "state")
    yield embedded
    embedded.stop()


def host_pid(tmp_path: Path) -> int:
    """The process that the state folder names."""
    return int(json.loads((tmp_path / "state" / "host.json").read_text())["pid"])


def test_the_host_is_found_again(target: EmbeddedTarget, make_function: MakeFunction, tmp_path: Path) -> None:
    """Another target of the same folder finds the running host; stopped and started, it has its functions again."""
    url = target.ensure_running()
    target.route("shift", target.put(make_function(1)))
    other = EmbeddedTarget(tmp_path / "state")
    assert other.ensure_running() == url == other.url()
    pid = host_pid(tmp_path)
    target.stop()
    assert target.url() is None
    assert not psutil.pid_exists(pid)
    other.ensure_running()
    assert other.invoke("shift", {"x": 2.0})["prediction"] == 3.0


def test_a_killed_host_is_replaced(
    target: EmbeddedTarget, make_function: MakeFunction, tmp_path: Path
) -> None:
    """The record of a killed host misleads nobody: calls say that none runs, and the next start makes one."""
    target.ensure_running()
    revision = target.put(make_function(1))
    target.route("shift", revision)
    killed = psutil.Process(host_pid(tmp_path))
    killed.kill()
    killed.wait(10)
    with pytest.raises(TargetError, match="no function host runs") as caught:
        target.invoke("shift", {"x": 2.0})
    assert "penstock up" in str(caught.value)
    target.ensure_running()
    assert target.status("shift").live == revision
    assert target.invoke("shift", {"x": 2.0})["prediction"] == 3.0


def test_two_callers_start_one_host(target: EmbeddedTarget, tmp_path: Path) -> None:
    """Racing processes get the same URL of the one host."""
    code = (
        "import pathlib, sys\n"
        "from penstock.targets.embedded import EmbeddedTarget\n"
        "print(EmbeddedTarget(pathlib.Path(sys.argv[1])).ensure_running())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "state")]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    urls = {racer.communicate(timeout=90)[0].strip() for racer in racers}
    assert urls == {target.url()}


def test_the_port_is_as_wanted_or_an_error(target: EmbeddedTarget, tmp_path: Path) -> None:
    """A wanted port that the running host does not have, or that is taken, is told and changes nothing."""
    url = target.ensure_running()
    port = httpx.URL(url).port
    assert port is not None
    assert target.ensure_running(port) == url
    with pytest.raises(TargetError, match=f"runs at {url}, expected port {port + 1}"):
        target.ensure_running(port + 1)
    with pytest.raises(TargetError, match=f"cannot listen on 127.0.0.1 port {port}"):
        EmbeddedTarget(tmp_path / "other").ensure_running(port)
    assert target.url() == url


def test_refusals_say_why(target: EmbeddedTarget, make_function: MakeFunction, tmp_path: Path) -> None:
    """A bad package, a bad input, an unknown revision, a folder that is none and a value that is no JSON."""
    target.ensure_running()
    with pytest.raises(TargetError, match="did not prove itself") as caught:
        target.put(make_function(1, sample=17.0))
    assert caught.value.status == 422
    live = target.put(make_function(1))
    target.route("shift", live)
    with pytest.raises(TargetError, match=r"'field': 'x'"):
        target.invoke("shift", {"x": "far"})
    with pytest.raises(TargetError, match="not JSON"):
        target.invoke("shift", {"x": float("nan")})
    with pytest.raises(TargetError, match="has no revision"):
        target.route("shift", "v9-0123456789ab")
    with pytest.raises(TargetError, match=r"no function\.json"):
        target.put(tmp_path)
    broken = make_function(3)
    (broken / "model.onnx").unlink()
    with pytest.raises(TargetError, match="cannot be read"):
        target.put(broken)
    assert target.serving("shift") == live


def test_without_a_host(tmp_path: Path, make_function: MakeFunction) -> None:
    """Where none was ever started, every call says so and what to do; stopping it is no error."""
    target = EmbeddedTarget(tmp_path / "none")
    assert target.url() is None
    target.stop()
    for call in (lambda: target.status("shift"), lambda: target.put(make_function(1))):
        with pytest.raises(TargetError, match="penstock up"):
            call()
    assert not (tmp_path / "none").exists()


def test_a_damaged_record(tmp_path: Path) -> None:
    """A host.json that is none is named instead of being taken for "no host"."""
    (tmp_path / "host.json").write_text('{"url": "http://127.0.0.1:1"}')
    with pytest.raises(TargetError, match=r"host\.json is not the record of a function host"):
        EmbeddedTarget(tmp_path).ensure_running()


def test_targets_by_name(tmp_path: Path) -> None:
    """The spec's name of a target opens it; it is this one where none is named."""
    assert isinstance(open_target(Function(), tmp_path), EmbeddedTarget)
    assert set(get_args(Function.model_fields["target"].annotation)) == set(targets._TARGETS)


def test_a_host_of_another_machine(
    target: EmbeddedTarget, make_function: MakeFunction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PENSTOCK_HOST_URL names it and PENSTOCK_HOST_TOKEN lets change it; nothing is started or kept here."""
    monkeypatch.setenv("PENSTOCK_HOST_URL", target.ensure_running() + "/")
    elsewhere = open_target(Function(), tmp_path / "elsewhere")
    elsewhere.prepare()
    with pytest.raises(TargetError, match="PENSTOCK_HOST_TOKEN is not set"):
        elsewhere.put(make_function(1))
    monkeypatch.setenv("PENSTOCK_HOST_TOKEN", "wrong")
    with pytest.raises(TargetError) as refused:
        elsewhere.put(make_function(1))
    assert refused.value.status == 401
    monkeypatch.setenv("PENSTOCK_HOST_TOKEN", (tmp_path / "state" / "token").read_text().strip())
    elsewhere.route("shift", elsewhere.put(make_function(1)))
    assert elsewhere.invoke("shift", {"x": 2.0})["prediction"] == 3.0
    assert target.status("shift").live == elsewhere.serving("shift")
    assert not (tmp_path / "elsewhere").exists()
