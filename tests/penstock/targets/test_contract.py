"""What every target does alike: the same cases on each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.spec.function import Function
from penstock.targets import Status, Target, TargetError, open_target
from penstock.targets.embedded import EmbeddedTarget
from tests.openwhisk import AUTH, openwhisk
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost


@pytest.fixture(params=["embedded", "openwhisk", "openwhisk on the host"])
def target(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Target]:
    """Each target, able to take a package; all of it is gone after the test."""
    if request.param == "embedded":
        monkeypatch.setenv("PENSTOCK_HOST_PORT", "0")
        made = open_target(Function(), tmp_path / "state")
        made.prepare()
        yield made
        EmbeddedTarget(tmp_path / "state").stop()
        return
    there = stand_in() if request.param == "openwhisk" else on_host(tmp_path / "state")
    with there as (url, auth):
        monkeypatch.setenv("PENSTOCK_OPENWHISK_URL", url)
        monkeypatch.setenv("PENSTOCK_OPENWHISK_AUTH", auth)
        monkeypatch.setenv("PENSTOCK_OPENWHISK_IMAGE", "registry.example/function:1")
        made = open_target(Function(target="openwhisk"), tmp_path)
        made.prepare()
        yield made


@contextmanager
def stand_in() -> Iterator[tuple[str, str]]:
    """Where the stand-in is, and the key of its namespace."""
    with openwhisk() as server:
        yield server.url, AUTH


@contextmanager
def on_host(state: Path) -> Iterator[tuple[str, str]]:
    """Where a function host is that speaks OpenWhisk's API, and the key of a namespace of it."""
    host = RunningHost(state)
    try:
        host.start()
        yield str(host.client.base_url), host.client.put("/namespaces/guest").json()["key"]
    finally:
        host.close()


def test_a_function_from_its_package_to_its_removal(target: Target, make_function: MakeFunction) -> None:
    """Every call of the interface, on two versions and back."""
    first = target.put(make_function(1))
    assert target.status("shift").live is None
    target.route("shift", first)
    assert target.serving("shift") == first
    assert target.invoke("shift", {"x": 2.0})["prediction"] == 3.0
    many = target.invoke("shift", [{"x": 0.0}, {"x": 1.0}])
    assert [each["prediction"] for each in many["predictions"]] == [1.0, 2.0]

    second = target.put(make_function(2))
    assert target.invoke("shift", {"x": 2.0})["prediction"] == 3.0, "put alone moves nothing"
    target.route("shift", second)
    assert target.serving("shift") == second
    assert target.invoke("shift", {"x": 2.0})["prediction"] == 4.0

    target.route("shift", first)
    assert target.serving("shift") == first
    status = target.status("shift")
    assert isinstance(status, Status)
    assert (status.name, status.live) == ("shift", first)
    assert status.since is not None
    assert {(each.revision, each.version) for each in status.revisions} == {(first, "1"), (second, "2")}
    assert status.serving is not None
    assert status.serving.state == "ready"

    target.remove("shift")
    target.remove("shift")
    with pytest.raises(TargetError, match="no function shift") as caught:
        target.status("shift")
    assert caught.value.status == 404


def test_a_command_line_asks_it(target: Target, make_function: MakeFunction) -> None:
    """As `penstock run` prints it and the docs have it."""
    target.route("shift", target.put(make_function(1)))
    command = (
        f"{target.curl(target.status('shift').url)} -H 'Content-Type: application/json' -d '{{\"x\": 2.0}}'"
    )
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["prediction"] == 3.0


def test_a_package_that_fails_its_proof_leaves_all_as_it_was(
    target: Target, make_function: MakeFunction
) -> None:
    """It is refused with what was found and expected, and cannot be routed to; what served serves on."""
    first = target.put(make_function(1))
    target.route("shift", first)
    with pytest.raises(TargetError, match=r"prediction.*(3.*99|99.*3)"):
        target.put(make_function(2, sample=99.0))
    assert [each.revision for each in target.status("shift").revisions] == [first]
    assert target.serving("shift") == first


def test_the_same_package_twice_is_one_revision(target: Target, make_function: MakeFunction) -> None:
    """Retrying is safe."""
    package = make_function(1)
    assert target.put(package) == target.put(package)
    assert len(target.status("shift").revisions) == 1


def test_a_record_that_does_not_fit_names_its_column(target: Target, make_function: MakeFunction) -> None:
    """The runtime's own words come through."""
    target.route("shift", target.put(make_function(1)))
    with pytest.raises(TargetError, match=r"x.*expected"):
        target.invoke("shift", {"x": "far"})
    with pytest.raises(TargetError, match="not JSON"):
        target.invoke("shift", {"x": float("nan")})


def test_what_is_not_there_is_a_404(target: Target, make_function: MakeFunction) -> None:
    """A function that was never deployed, and a revision that was not put."""
    target.put(make_function(1))
    for call in (
        lambda: target.route("shift", "v9-000000000000"),
        lambda: target.invoke("none", {"x": 1.0}),
        lambda: target.serving("none"),
        lambda: target.logs("none"),
    ):
        with pytest.raises(TargetError) as caught:
            call()
        assert caught.value.status == 404


def test_two_functions_do_not_mix(target: Target, make_function: MakeFunction) -> None:
    """One whose name begins with the other's has its own revisions, and outlives it."""
    for name, offset in (("shift", 1), ("shift-back", -1)):
        target.route(name, target.put(make_function(1, name, offset=offset)))
    assert len(target.status("shift").revisions) == 1
    target.remove("shift")
    assert target.invoke("shift-back", {"x": 2.0})["prediction"] == 1.0


def test_a_folder_that_is_no_package(target: Target, tmp_path: Path) -> None:
    """It is refused before anything is sent."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(TargetError, match=r"function\.json"):
        target.put(tmp_path / "empty")
