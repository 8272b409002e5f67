"""One revision's process: started, proven, watched, started again when it crashed or is asked again, stopped."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from penstock import launch, runtimes
from penstock.errors import PenstockError
from penstock.host.changes import Changes
from penstock.host.errors import HostError
from penstock.host.libraries import Libraries
from penstock.host.limits import Limits
from penstock.host.logs import FunctionLog
from penstock.host.manifest import read_manifest
from penstock.host.pool import Pool
from penstock.host.process import Heard, RuntimeProcess
from penstock.targets import RevisionStatus


class State(StrEnum):
    """What a revision's process is doing; see `RevisionStatus`."""

    IDLE = "idle"
    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    DRAINING = "draining"
    STOPPED = "stopped"


class Runner:
    """The process of one revision. All methods belong to the host's event loop.

    It serves at `127.0.0.1:port` while `state` is READY, and has a place in the `pool` while it runs. Unless `keep` was
    called, it is not started again once it has ended. It spools its prediction log in the folder `spool`.
    """

    def __init__(
        self,
        revision: str,
        package: Path,
        libraries: Libraries,
        spool: Path,
        log: FunctionLog,
        limits: Limits,
        changes: Changes,
        pool: Pool,
    ) -> None:
        self.revision = revision
        self.package = package
        self.state = State.IDLE
        self.port: int | None = None
        self.restarts = 0
        self.starts = 0  # how often a process of it became ready
        self.error: str | None = None
        self.in_flight = 0
        self.used = time.monotonic()
        self._libraries = libraries
        self._spool = spool
        self._log = log
        self._limits = limits
        self._changes = changes
        self._pool = pool
        self._kept = False
        self._placed = False
        self._served = False
        self._closing = asyncio.Event()
        self._resting: asyncio.Task[None] | None = None
        self._listeners: list[Heard] = []
        self._failure = HostError(502, f"{revision} was stopped")
        self._retry_at = 0.0
        self._process: RuntimeProcess | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to start the process; `proved` tells how that went."""
        self._closing.clear()
        self._task = asyncio.create_task(self._run())
        self._set(State.STARTING)

    def keep(self) -> None:
        """From now on start it again whenever it crashes, and whenever it is woken."""
        self._kept = True
        if self.state is State.STOPPED:
            self._set(State.IDLE)

    def wake(self) -> None:
        """Begin to start it where it is at zero."""
        if self.state is State.IDLE:
            self.start()

    def rest(self) -> None:
        """Begin to end the process, which answers nothing; one that is kept is at zero then."""
        self._say("at zero, as nobody asked for it or others need the room")
        self._set(State.DRAINING)
        self._resting = asyncio.create_task(self.stop())

    def status(self) -> RevisionStatus:
        """What `GET /functions/{name}` says of it."""
        return RevisionStatus(
            revision=self.revision,
            version=version_of(self.revision),
            state=self.state.value,
            restarts=self.restarts,
            error=self.error,
        )

    @property
    def idle(self) -> bool:
        """Whether it may go for now: it answers nothing, and nobody waits for it."""
        return self.state in (State.READY, State.BACKOFF) and not self.in_flight

    @property
    def refused(self) -> bool:
        """Whether its last start failed: it makes no sense to wait for it."""
        return (
            self.state in (State.IDLE, State.BACKOFF, State.STOPPED) and not self._served and bool(self.error)
        )

    def memory(self) -> int:
        """Bytes of memory that its process alone has; 0 where there is none."""
        return 0 if self._process is None else self._process.memory()

    @property
    def retry_after(self) -> int:
        """Whole seconds until it is worth asking again, at least 1."""
        return max(1, round(self._retry_at - asyncio.get_running_loop().time() + 1))

    async def proved(self) -> None:
        """Return once it serves, having answered its samples as Spark did.

        Raises HostError: 422 when the runtime refused the package, 502 when it ended or hung.
        """
        try:
            # A crashed one that is kept may have its restart up to a whole backoff away.
            most = self._limits.room_seconds + self._limits.start_seconds + self._limits.stop_seconds + 1
            async with asyncio.timeout(most):
                while self.state is not State.READY:
                    if self.state in (State.IDLE, State.BACKOFF, State.STOPPED):
                        raise self._failure
                    await self._changes.wait()
        except TimeoutError:
            raise HostError(502, f"{self.revision} is {self.state.value}: it cannot be proved now") from None

    def kill(self) -> None:
        """End the process at once, as it does not answer; one that is kept is started anew."""
        self._signal(signal.SIGKILL)

    async def drain(self) -> None:
        """Answer what it has begun to answer, then stop."""
        self._kept = False
        if self.state is State.READY:
            self._set(State.DRAINING)
        try:
            async with asyncio.timeout(self._limits.answer_seconds + 1):
                while self.in_flight:
                    await self._changes.wait()
        except TimeoutError:
            self._say(f"stopped with {self.in_flight} requests unanswered")
        await self.stop()

    async def stop(self) -> None:
        """End the process: SIGTERM, then SIGKILL after `stop_seconds`. Returns when it is gone."""
        self._closing.set()
        task = self._task
        if task is None:
            return
        if self._placed:
            self._signal(signal.SIGTERM)
        else:
            task.cancel()
        await asyncio.wait({task}, timeout=self._limits.stop_seconds)
        if not task.done():  # by now it may even have been woken again
            self._signal(signal.SIGKILL)
            await task

    @contextmanager
    def asked(self) -> Iterator[None]:
        """One request more is in flight, which waits for the process or is answered by it."""
        self.came()
        try:
            yield
        finally:
            self.went()

    def came(self) -> None:
        """A request is in flight, until it `went`."""
        self.in_flight += 1

    def went(self) -> None:
        """It has its answer, or nobody waits for that."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._pool.freed()
            if self.state is not State.READY:
                self._changes.notify()

    @contextmanager
    def heard(self, listener: Heard) -> Iterator[None]:
        """Meanwhile the listener is told what the process prints."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def _run(self) -> None:
        self._served = False
        try:
            async with self._pool.place(self):
                self._placed = True
                await self._live()
        except HostError as no_room:
            self._fail(no_room)
            self._say(no_room.message)
        finally:
            self._placed = False
            self._set(State.IDLE if self._kept else State.STOPPED)

    async def _live(self) -> None:
        """Run the process until it is not to be started again."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            served = await self._attempt()
            self._served = served > 0
            self._say(self._failure.message)
            if self._closing.is_set() or not self._kept:
                break
            failures = 1 if served >= self._limits.stable_seconds else failures + 1
            pause = restart_pause(failures, self._limits)
            self._retry_at = loop.time() + pause
            self._set(State.BACKOFF)
            try:
                async with asyncio.timeout(pause):
                    await self._closing.wait()
            except TimeoutError:
                self.restarts += 1
                self._set(State.STARTING)
            else:
                break

    async def _attempt(self) -> float:
        """Run the process once, to its end; how long it served, in seconds. `_failure` is why it ended."""
        try:
            async with self._libraries.holding(self.package):
                command = await asyncio.to_thread(self._command)
            process = await RuntimeProcess.start(command, self._hear)
        except HostError as error:
            self._fail(error)
            return 0.0
        except (OSError, PenstockError) as error:
            self._fail(HostError(502, f"{self.revision}: the runtime cannot be started: {error}"))
            return 0.0
        self._process = process
        if self._closing.is_set():
            process.signal(signal.SIGTERM)
        port = await process.port(self._limits.start_seconds)
        began, reasons = time.monotonic(), process.reasons
        if port is not None:
            self.port, self.error, self.used = port, None, began
            self.starts += 1
            self._set(State.READY)
        elif process.running:
            reasons = [f"it was not ready within {self._limits.start_seconds:g} s"]
            process.signal(signal.SIGKILL)
        code = await process.end()
        self.port = None
        self._fail(_failure(self.revision, code, port is not None, reasons))
        return 0.0 if port is None else time.monotonic() - began

    def _command(self) -> list[str]:
        kind = read_manifest(self.package)[0].runtime
        memory = self._limits.memory_bytes
        program = runtimes.command(
            kind,
            self.package,
            memory_bytes=memory,
            spool=self._spool,
            libraries=self._libraries.folders(self.package),
        )
        return launch.command(*program, memory_bytes=memory)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.signal(number)

    def _hear(self, source: str, line: bytes) -> None:
        self._log.write(self.revision, source, line)
        for listener in self._listeners:
            listener(source, line)

    def _fail(self, failure: HostError) -> None:
        self._failure = failure
        self.error = None if self._closing.is_set() else failure.message

    def _set(self, state: State) -> None:
        self.state = state
        self._changes.notify()

    def _say(self, text: str) -> None:
        self._log.write(self.revision, "host", text.encode())


def restart_pause(failures: int, limits: Limits) -> float:
    """Seconds to wait before a restart, after so many failures (from 1) in a row: see `Limits.backoff_first`."""
    longest = min(limits.backoff_cap, limits.backoff_first * 2.0 ** min(failures - 1, 30))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 (spreads restarts, guards nothing)


def version_of(revision: str) -> str:
    """The model version in a revision's name `v<version>-<digest>`."""
    return revision[1:].rpartition("-")[0]


def _failure(revision: str, code: int, served: bool, reasons: list[str]) -> HostError:
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    why = f": {reasons[-1]}" if reasons else ""
    refused = code > 0 and not served and bool(reasons)
    return HostError(
        422 if refused else 502,
        f"{revision} {'did not prove itself' if refused else how}{why}",
        next_step="see GET /functions/{name}/logs for what it printed"
        if not refused
        else "build the package again",
    )
