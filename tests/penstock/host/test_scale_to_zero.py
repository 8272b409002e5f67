"""Functions that nobody asks have no process, and have one again when they are asked."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.host.__main__ import main
from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.limits import Limits
from penstock.targets import Status
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until
from tests.penstock.host.test_functions import archive_of, play


async def deploy(functions: Functions, package: Path, folder: Path, name: str = "shift") -> str:
    """Put and route."""
    revision, archive = archive_of(package, folder)
    await functions.put(name, revision, archive)
    await functions.route(name, revision)
    return revision


def live(functions: Functions, name: str = "shift") -> str:
    """The state of the live revision."""
    return state_of(functions.status(name, ""))


def state_of(status: Status) -> str:
    assert status.serving is not None
    return status.serving.state


async def becomes(functions: Functions, state: str, name: str = "shift") -> None:
    """Wait for the live revision's state."""
    async with asyncio.timeout(20):
        while live(functions, name) != state:
            await asyncio.sleep(0.01)


def starts(functions: Functions, name: str = "shift") -> int:
    """How many processes of it became ready, by its log."""
    return sum('"event":"ready"' in line for line in functions.log_tail(name, 1000))


def test_to_zero_and_back(make_function: MakeFunction, tmp_path: Path) -> None:
    """What nobody asks is stopped; requests that come at once start one process, which answers all of them."""

    async def scenario(functions: Functions) -> None:
        revision = await deploy(functions, make_function(1), tmp_path)
        await becomes(functions, "idle")

        async def ask() -> int | None:
            async with functions.lease("shift") as runner:
                assert runner.revision == revision
                return runner.port

        ports = await asyncio.gather(*(ask() for _ in range(8)))
        assert len(set(ports)) == 1
        assert None not in ports
        assert live(functions) == "ready"
        assert starts(functions) == 2
        await becomes(functions, "idle")

    play(tmp_path, Limits(idle_seconds=0.3, watch_seconds=0.05), scenario)


def test_what_answers_is_not_stopped(make_function: MakeFunction, tmp_path: Path) -> None:
    """However long an answer takes, its process stays, and the time to be idle begins with its end."""

    async def scenario(functions: Functions) -> None:
        await deploy(functions, make_function(1), tmp_path)
        async with functions.lease("shift"):
            await asyncio.sleep(0.5)
            assert live(functions) == "ready"
        assert live(functions) == "ready"
        await becomes(functions, "idle")
        assert starts(functions) == 1

    play(tmp_path, Limits(idle_seconds=0.1, watch_seconds=0.02), scenario)


def test_the_longest_unused_makes_room(make_function: MakeFunction, tmp_path: Path) -> None:
    """With room for two, the third takes the place of the one that was not asked for longest; all go on answering."""

    async def scenario(functions: Functions) -> None:
        for name in ("one", "two"):
            await deploy(functions, make_function(1, name), tmp_path, name)
        async with functions.lease("one"):
            pass
        await deploy(functions, make_function(1, "three"), tmp_path, "three")
        assert [live(functions, name) for name in ("one", "two", "three")] == ["ready", "idle", "ready"]
        async with functions.lease("two"):
            assert [live(functions, name) for name in ("one", "two", "three")] == ["idle", "ready", "ready"]

    play(tmp_path, Limits(processes=2), scenario)


def test_memory_makes_room_as_well(make_function: MakeFunction, tmp_path: Path) -> None:
    """Where one process has all the memory there is, it goes before another starts; a single one may always run."""

    async def scenario(functions: Functions) -> None:
        for name in ("one", "two"):
            await deploy(functions, make_function(1, name), tmp_path, name)
        assert [live(functions, name) for name in ("one", "two")] == ["idle", "ready"]
        await asyncio.sleep(0.1)
        assert live(functions, "two") == "ready"

    play(tmp_path, Limits(processes_bytes=1, watch_seconds=0.02), scenario)


def test_no_room_is_told(make_function: MakeFunction, tmp_path: Path) -> None:
    """While all processes answer, a start waits for one of them, and is a 503 that says so when none ends in time."""

    async def scenario(functions: Functions) -> None:
        for name in ("one", "two"):
            await deploy(functions, make_function(1, name), tmp_path, name)
        assert live(functions, "one") == "idle"
        async with functions.lease("two"):
            with pytest.raises(HostError, match="no room for another process: none of 1 is idle") as caught:
                async with functions.lease("one"):
                    raise AssertionError("it was started")
            assert (caught.value.status, caught.value.retry_after) == (503, 1)
            assert live(functions, "one") == "idle"
            waiting = asyncio.create_task(functions.lease("one").__aenter__())
            await asyncio.sleep(0.1)
            assert not waiting.done()
        runner = await waiting
        assert runner.port is not None
        assert live(functions, "two") == "idle"

    play(tmp_path, Limits(processes=1, room_seconds=2), scenario)


def test_the_queue_has_an_end(make_function: MakeFunction, tmp_path: Path) -> None:
    """Of those that wait for a start there are so many; the next is a 503 at once, and the others are answered."""

    async def scenario(functions: Functions) -> None:
        await deploy(functions, make_function(1), tmp_path)
        await becomes(functions, "idle")

        async def ask() -> int:
            async with functions.lease("shift"):
                return 200

        asked = await asyncio.gather(*(ask() for _ in range(5)), return_exceptions=True)
        refused = [each for each in asked if isinstance(each, HostError)]
        assert asked.count(200) == 2
        assert [each.status for each in refused] == [503] * 3
        assert "2 requests wait for it already" in refused[0].message

    play(tmp_path, Limits(idle_seconds=0.3, watch_seconds=0.05, waiting=2), scenario)


def test_a_start_that_fails(make_function: MakeFunction, tmp_path: Path) -> None:
    """The request that began it gets the reason at once, the status has it too, and once it is mended it serves."""

    async def scenario(functions: Functions) -> None:
        revision = await deploy(functions, make_function(1), tmp_path)
        await becomes(functions, "idle")
        model = tmp_path / "state" / "functions" / "shift" / "revisions" / revision / "model.onnx"
        good = model.read_bytes()
        model.write_bytes(b"rotten")
        for _ in range(2):
            with pytest.raises(HostError, match=r"model\.onnx") as caught:
                async with functions.lease("shift"):
                    raise AssertionError("it was started")
            assert caught.value.status == 503
        (status,) = functions.status("shift", "").revisions
        assert "model.onnx" in (status.error or "")
        # Nobody asks for it any more: it is not tried for ever.
        await becomes(functions, "idle")
        (status,) = functions.status("shift", "").revisions
        assert "model.onnx" in (status.error or "")
        model.write_bytes(good)
        async with functions.lease("shift"):
            assert live(functions) == "ready"

    play(tmp_path, Limits(idle_seconds=0.3, watch_seconds=0.05, backoff_first=10), scenario)


@pytest.fixture
def sleepy(tmp_path: Path) -> Iterator[RunningHost]:
    """A host whose functions are at zero after a moment."""
    running = RunningHost(tmp_path / "state")
    running.start(environment={"PENSTOCK_HOST_IDLE": "0.2"})
    yield running
    running.close()


def test_over_http(sleepy: RunningHost, make_function: MakeFunction) -> None:
    """A client sees answers alone; metrics neither start a function nor keep it; deploying works on what is at zero."""
    package = make_function(1)
    revision = sleepy.deploy(package)

    def at_zero() -> bool:
        scraped = sleepy.client.get("/functions/shift/metrics")
        assert scraped.status_code == 200
        return sleepy.states() == {revision: "idle"}

    until(at_zero, "it is at zero, whatever reads its metrics")
    assert sleepy.runtimes() == []
    assert sleepy.client.get("/functions/shift/metrics").text == ""
    assert sleepy.states() == {revision: "idle"}
    assert sleepy.predict().json()["prediction"] == 2.0
    assert "penstock_requests" in sleepy.client.get("/functions/shift/metrics").text

    until(at_zero, "it is again")
    assert sleepy.put(package).status_code == 200
    assert sleepy.states() == {revision: "ready"}
    until(at_zero, "and again")
    assert sleepy.route(revision).status_code == 200
    assert sleepy.states() == {revision: "ready"}
    newer = sleepy.deploy(make_function(2))
    assert sleepy.predict().json()["prediction"] == 3.0
    until(lambda: sleepy.states() == {revision: "stopped", newer: "idle"}, "the new one as well")
    assert sleepy.client.delete("/functions/shift").status_code == 204


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--idle", "0"), "'0' is no number of seconds above 0"),
        (("--idle", "nan"), "'nan' is no number of seconds above 0"),
        (("--processes", "1.5"), "'1.5' is no whole number above 0"),
        (("--memory", "-1"), "'-1' is no whole number above 0"),
    ],
)
def test_settings_that_are_none(
    tmp_path: Path,
    option: tuple[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They start no host, and the message names what was given."""
    monkeypatch.setattr(sys, "argv", ["host", "--state", str(tmp_path / "state"), "--port", "0", *option])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"argument {option[0]}: {said}" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
