"""What only shows with shorter waits than a host's own: real runtimes, driven within this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock.host.background import Background
from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.limits import Limits
from penstock.host.manifest import read_manifest
from penstock.host.pool import Pool
from penstock.host.state import StateFolder
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import zip_of

Scenario = Callable[[Functions], Awaitable[None]]


def play(folder: Path, limits: Limits, scenario: Scenario) -> None:
    """Run a scenario on the functions of a folder."""
    state = StateFolder(folder / "state")
    state.open()

    async def run() -> None:
        pool, background = Pool(limits), Background()
        functions = Functions(state, limits, pool, background)
        background.spawn(pool.watch())
        functions.start()
        try:
            await scenario(functions)
        finally:
            await background.close()
            await functions.close()

    asyncio.run(run())


def archive_of(package: Path, folder: Path) -> tuple[str, Path]:
    """The package's revision and its zip."""
    archive = folder / f"{package.name}.zip"
    archive.write_bytes(zip_of(package))
    return read_manifest(package)[1], archive


def states(functions: Functions) -> dict[str, str]:
    """The state of each revision."""
    return {it.revision: it.state for it in functions.status("shift", "").revisions}


def test_a_warm_revision_is_not_kept_for_ever(make_function: MakeFunction, tmp_path: Path) -> None:
    """A proven revision that gets no traffic is stopped after a while; routed to later it is started and proven."""
    revision, archive = archive_of(make_function(1), tmp_path)

    async def scenario(functions: Functions) -> None:
        assert await functions.put("shift", revision, archive)
        assert states(functions) == {revision: "ready"}
        async with asyncio.timeout(20):
            while states(functions) != {revision: "stopped"}:
                await asyncio.sleep(0.05)
        await functions.route("shift", revision)
        assert states(functions) == {revision: "ready"}

    play(tmp_path, Limits(candidate_seconds=0.1), scenario)


def test_a_runtime_that_does_not_get_ready(make_function: MakeFunction, tmp_path: Path) -> None:
    """It is killed when its time is over, the upload is 502 with the reason, and nothing of it is left."""
    revision, archive = archive_of(make_function(1), tmp_path)

    async def scenario(functions: Functions) -> None:
        with pytest.raises(HostError, match=r"it was not ready within 0\.01 s") as caught:
            await functions.put("shift", revision, archive)
        assert caught.value.status == 502
        assert functions.names() == []

    play(tmp_path, Limits(start_seconds=0.01), scenario)
    assert list((tmp_path / "state" / "functions").iterdir()) == []
    assert list((tmp_path / "state" / "incoming").iterdir()) == []


def test_a_runtime_without_the_memory_it_needs(make_function: MakeFunction, tmp_path: Path) -> None:
    """A runtime that cannot live within its bound is refused at the upload, not found out by the machine."""
    revision, archive = archive_of(make_function(1), tmp_path)

    async def scenario(functions: Functions) -> None:
        with pytest.raises(HostError) as caught:
            await functions.put("shift", revision, archive)
        assert caught.value.status in (422, 502)

    play(tmp_path, Limits(memory_bytes=16 * 1024 * 1024), scenario)
    assert list((tmp_path / "state" / "functions").iterdir()) == []


def test_a_drain_has_an_end(make_function: MakeFunction, tmp_path: Path) -> None:
    """A request that is never answered does not keep an old revision's process for ever."""
    (old, first), (new, second) = (archive_of(make_function(version), tmp_path) for version in (1, 2))

    async def scenario(functions: Functions) -> None:
        await functions.put("shift", old, first)
        await functions.route("shift", old)
        async with functions.lease("shift") as runner:
            await functions.put("shift", new, second)
            await functions.route("shift", new)
            await asyncio.sleep(0.05)
            assert states(functions) == {old: "draining", new: "ready"}
            assert runner.revision == old
            async with asyncio.timeout(20):
                while states(functions) != {old: "stopped", new: "ready"}:
                    await asyncio.sleep(0.05)
        assert any("1 requests unanswered" in line for line in functions.log_tail("shift", 100))

    play(tmp_path, Limits(answer_seconds=0.1), scenario)
