"""One revision's process: started, proven, watched, started again when it crashed, stopped."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from penstock import java, launch, runtimes
from penstock.errors import PenstockError
from penstock.host.errors import HostError
from penstock.host.limits import Limits
from penstock.host.logs import FunctionLog
from penstock.host.manifest import read_manifest
from penstock.host.output import event_in, lines_of
from penstock.signatures import PUBLIC_KEYS
from penstock.targets import RevisionStatus

# All that a runtime gets of the host's environment: no secret but the one that it needs to hide others.
_INHERITED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    PUBLIC_KEYS,
    "PENSTOCK_LOG_KEY",
    java.WRAPPED,
)


class State(StrEnum):
    """What a revision's process is doing; see `RevisionStatus`."""

    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    DRAINING = "draining"
    STOPPED = "stopped"


class Changes:
    """Wakes everyone who waits for something about a runner to change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake all who wait now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Return at the next change."""
        await self._event.wait()


class Runner:
    """The process of one revision. All methods belong to the host's event loop.

    It serves at `127.0.0.1:port` while `state` is READY. Unless `keep` was called, it is not started again once
    it has ended. It spools its prediction log in the folder `spool`; `libraries` tells where those of a package's steps are,
    or raises HostError.
    """

    def __init__(
        self,
        revision: str,
        package: Path,
        libraries: Callable[[Path], list[Path]],
        spool: Path,
        log: FunctionLog,
        limits: Limits,
        changes: Changes,
    ) -> None:
        self.revision = revision
        self.package = package
        self.state = State.STOPPED
        self.port: int | None = None
        self.restarts = 0
        self.error: str | None = None
        self.in_flight = 0
        self._libraries = libraries
        self._spool = spool
        self._log = log
        self._limits = limits
        self._changes = changes
        self._kept = False
        self._closing = asyncio.Event()
        self._failure = HostError(502, f"{revision} was stopped")
        self._retry_at = 0.0
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to start the process; `proved` tells how that went."""
        self._task = asyncio.create_task(self._run())
        self._set(State.STARTING)

    def keep(self) -> None:
        """From now on start it again whenever it ends."""
        self._kept = True
        if self._task is None or self._task.done():
            self.start()

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
    def retry_after(self) -> int:
        """Whole seconds until it is worth asking again, at least 1."""
        return max(1, round(self._retry_at - asyncio.get_running_loop().time() + 1))

    async def proved(self) -> None:
        """Return once it serves, having answered its samples as Spark did.

        Raises HostError: 422 when the runtime refused the package, 502 when it ended or hung.
        """
        try:
            # A crashed one that is kept may have its restart up to a whole backoff away.
            async with asyncio.timeout(self._limits.start_seconds + self._limits.stop_seconds + 1):
                while self.state is not State.READY:
                    if self.state in (State.STOPPED, State.BACKOFF):
                        raise self._failure
                    await self._changes.wait()
        except TimeoutError:
            raise HostError(502, f"{self.revision} is {self.state.value}: it cannot be proved now") from None

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
        if self._task is None:
            return
        self._signal(signal.SIGTERM)
        _, unfinished = await asyncio.wait({self._task}, timeout=self._limits.stop_seconds)
        if unfinished:
            self._signal(signal.SIGKILL)
            await self._task

    def released(self) -> None:
        """One request less is in flight."""
        self.in_flight -= 1
        if self.in_flight == 0 and self.state is not State.READY:
            self._changes.notify()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            served = await self._attempt()
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
        self._set(State.STOPPED)

    async def _attempt(self) -> float:
        """Run the process once, to its end; how long it served, in seconds. `_failure` is why it ended."""
        loop = asyncio.get_running_loop()
        try:
            process = await asyncio.create_subprocess_exec(
                *await asyncio.to_thread(self._command),
                env={name: os.environ[name] for name in _INHERITED if name in os.environ} | _FIXED,
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except HostError as error:
            self._fail(error)
            return 0.0
        except (OSError, PenstockError) as error:
            self._fail(HostError(502, f"{self.revision}: the runtime cannot be started: {error}"))
            return 0.0
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        ready: asyncio.Future[int] = loop.create_future()
        reasons: list[str] = []
        listeners = [
            asyncio.create_task(self._listen(process.stdout, "out", ready, reasons)),
            asyncio.create_task(self._listen(process.stderr, "err", None, reasons)),
        ]
        exited = asyncio.create_task(process.wait())
        if self._closing.is_set():
            self._signal(signal.SIGTERM)
        served = 0.0
        await asyncio.wait(
            {ready, exited}, timeout=self._limits.start_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if ready.done():
            self.port, self.error, began = ready.result(), None, loop.time()
            self._set(State.READY)
            await exited
            served = loop.time() - began
        elif not exited.done():
            reasons = [f"it was not ready within {self._limits.start_seconds:g} s"]
            self._signal(signal.SIGKILL)
        code = await exited
        self.port = None
        # What it said last is in the pipes; a descendant that holds them open is not waited for.
        _, open_pipes = await asyncio.wait(listeners, timeout=1)
        for listener in open_pipes:
            listener.cancel()
        self._fail(_failure(self.revision, code, ready.done(), reasons))
        return served

    def _command(self) -> list[str]:
        kind = read_manifest(self.package)[0].runtime
        memory = self._limits.memory_bytes
        program = runtimes.command(
            kind,
            self.package,
            memory_bytes=memory,
            spool=self._spool,
            libraries=self._libraries(self.package),
        )
        return launch.command(*program, memory_bytes=memory)

    async def _listen(
        self, stream: asyncio.StreamReader, source: str, ready: asyncio.Future[int] | None, reasons: list[str]
    ) -> None:
        async for line in lines_of(stream):
            event = event_in(line)
            port, reason = event.get("port"), event.get("reason")
            if ready is not None and not ready.done() and isinstance(port, int):
                ready.set_result(port)
            if isinstance(reason, str):
                reasons.append(reason)
            self._log.write(self.revision, source, line)

    def _signal(self, number: signal.Signals) -> None:
        # Its own group: whatever it may have started ends with it. Unreaped, so the number is still its own.
        if self._process is not None and self._process.returncode is None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return

    def _fail(self, failure: HostError) -> None:
        self._failure = failure
        self.error = None if self._closing.is_set() else failure.message

    def _set(self, state: State) -> None:
        self.state = state
        self._changes.notify()

    def _say(self, text: str) -> None:
        self._log.write(self.revision, "host", text.encode())


_FIXED = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


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
