"""One function in memory: its processes, and what requests need of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from penstock.host.background import Background
from penstock.host.changes import Changes
from penstock.host.errors import HostError
from penstock.host.libraries import Libraries
from penstock.host.limits import Limits
from penstock.host.logs import FunctionLog
from penstock.host.pool import Pool
from penstock.host.rolling import Rolling
from penstock.host.runner import Runner, State
from penstock.host.state import StateFolder, Traffic


class Function:
    """`live` serves, or is at zero until it is asked; `rolling` takes a share of its traffic; `candidate` is proven and warm;
    `pinned` serve who asks for them by revision; `leaving` are drained.
    """

    def __init__(
        self,
        name: str,
        state: StateFolder,
        libraries: Libraries,
        pool: Pool,
        limits: Limits,
        background: Background,
    ) -> None:
        self.name = name
        self.log = FunctionLog(state.log(name), limits.log_bytes)
        self.changes = Changes()
        self.traffic: Traffic | None = None
        self.fault: HostError | None = None
        self.live: Runner | None = None
        self.rolling: Rolling | None = None
        self.candidate: Runner | None = None
        self.pinned: dict[str, Runner] = {}
        self.leaving: set[Runner] = set()
        self._waiting = 0
        self._state = state
        self._libraries = libraries
        self._pool = pool
        self.limits = limits
        self._background = background

    def runner(self, revision: str, staged: Path | None = None) -> Runner:
        """A process, not started yet, of a revision on disk, or of one in the folder `staged`."""
        return Runner(
            revision,
            staged or self._state.package(self.name, revision),
            self._libraries,
            self._state.predictions / self.name,
            self.log,
            self.limits,
            self.changes,
            self._pool,
        )

    def runners(self) -> list[Runner]:
        """Every process it has, the one that says most about its revision last."""
        rolling = self.rolling.runner if self.rolling else None
        known = (self.candidate, rolling, self.live)
        return [
            *self.leaving,
            *self.pinned.values(),
            *(runner for runner in known if runner is not None),
        ]

    def warm(self, revision: str) -> Runner | None:
        """The candidate, where it is a ready process of that revision."""
        found = self.candidate
        return found if found and found.revision == revision and found.state is State.READY else None

    def keep_warm(self, runner: Runner) -> None:
        """Keep a proven process ready for a while; it takes the place of an earlier one."""
        old, self.candidate = self.candidate, runner
        if old is not None:
            self.let_go(old)

        async def expire() -> None:
            await asyncio.sleep(self.limits.candidate_seconds)
            if self.candidate is runner:
                self.candidate = None
                self.let_go(runner)

        self._background.spawn(expire())

    def let_go(self, runner: Runner) -> None:
        """Stop a process in the background once its requests are answered."""
        self.leaving.add(runner)

        async def leave() -> None:
            await runner.drain()
            self.leaving.discard(runner)

        self._background.spawn(leave())

    @asynccontextmanager
    async def lease(self, revision: str | None = None, *, use: bool = True) -> AsyncIterator[Runner]:
        """The process of a revision, or of the live one, ready, for one request: it is not stopped while it is leased.

        Starts it where it is at zero, and waits for it. Without `use` it does not count as having been asked. Raises HostError:
        404 for no live revision, or none of that name; 503 with `retry_after` for one that does not come up, or that too many wait
        for.
        """
        while True:
            # Looked up each time: the live pointer may move while this waits.
            runner = self._target(revision)
            with runner.asked():
                if runner.state is State.READY or await self._comes_up(runner, revision):
                    try:
                        yield runner
                    finally:
                        if use:
                            runner.used = time.monotonic()
                    return

    def _target(self, revision: str | None) -> Runner:
        if revision is not None and (self.live is None or self.live.revision != revision):
            return self.pinned.get(revision) or self._pin(revision)
        if self.live is None:
            raise self.fault or HostError(
                404,
                f"{self.name} has no live revision",
                next_step=f"PUT /functions/{self.name}/traffic",
            )
        return self.live

    def _pin(self, revision: str) -> Runner:
        if not self._state.package(self.name, revision).is_dir():
            raise HostError(404, f"{self.name} has no revision {revision}", next_step="put it first")
        runner = self.pinned[revision] = self.runner(revision)
        runner.keep()
        return runner

    async def _comes_up(self, runner: Runner, revision: str | None) -> bool:
        """Start it where need be, and return once it serves; False where another one is to answer by now. Raises HostError (503)."""
        if self._waiting >= self.limits.waiting:
            raise self._unavailable(runner, f"{self._waiting} requests wait for it already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self.limits.wait_seconds):
                runner.wake()
                while runner is self._target(revision) and runner.state is not State.READY:
                    if runner.refused:
                        raise self._unavailable(runner, runner.error)
                    runner.wake()  # it was ending when this request came
                    await self.changes.wait()
        except TimeoutError:
            raise self._unavailable(runner, runner.error) from None
        finally:
            self._waiting -= 1
        return runner is self._target(revision)

    def _unavailable(self, runner: Runner, why: str | None) -> HostError:
        return HostError(
            503,
            f"{self.name} is {runner.state.value}{f': {why}' if why else ''}",
            next_step=f"try again; GET /functions/{self.name}/logs says what it printed",
            retry_after=runner.retry_after,
        )
