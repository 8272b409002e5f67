"""A runtime's process: what it is given of the host's environment, what it says, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence

import psutil

from penstock import java
from penstock.host.output import event_in, lines_of
from penstock.signatures import PUBLIC_KEYS

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
_FIXED = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def environment() -> dict[str, str]:
    """A runtime's environment."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | _FIXED


#: Is told each line that a process prints, and where: `out` or `err`.
Heard = Callable[[str, bytes], None]


class RuntimeProcess:
    """One process that runs. `reasons` are those that it has given for ending."""

    def __init__(self, process: asyncio.subprocess.Process, heard: Heard) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.reasons: list[str] = []
        self._process = process
        self._heard = heard
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._exited = asyncio.create_task(process.wait())
        self._listeners = [
            asyncio.create_task(self._listen(process.stdout, "out")),
            asyncio.create_task(self._listen(process.stderr, "err")),
        ]

    @classmethod
    async def start(cls, command: Sequence[str], heard: Heard) -> RuntimeProcess:
        """Start it, in a session of its own. Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment(),
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return cls(process, heard)

    async def port(self, seconds: float) -> int | None:
        """Where it serves on loopback, once it says so; None when it ends first, or is not ready in time."""
        await asyncio.wait({self._port, self._exited}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return self._port.result() if self._port.done() else None

    @property
    def running(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return self._process.returncode is None

    async def end(self) -> int:
        """Its exit code, or the negative number of the signal that ended it, once it has ended and all that it said is heard."""
        code = await self._exited
        # What it said last is in the pipes; a descendant that holds them open is not waited for.
        _, open_pipes = await asyncio.wait(self._listeners, timeout=1)
        for listener in open_pipes:
            listener.cancel()
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and whatever it started, unless it has ended."""
        # Its own group; and unreaped, so that the number is still its own.
        if self.running:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return

    def memory(self) -> int:
        """Bytes of memory that it alone has; 0 once it has ended."""
        try:
            seen = psutil.Process(self._process.pid).memory_info() if self.running else None
        except psutil.Error:
            return 0
        # What is mapped from files, the libraries above all, is there once for all processes.
        return 0 if seen is None else int(seen.rss - getattr(seen, "shared", 0))

    def _listens(self, port: int) -> bool:
        """Whether it is this very process that listens there: a package's own code may print anything."""
        try:
            held = psutil.Process(self._process.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in held)

    async def _listen(self, stream: asyncio.StreamReader, source: str) -> None:
        async for line in lines_of(stream):
            event = event_in(line)
            port, reason = event.get("port"), event.get("reason")
            waits = source == "out" and not self._port.done()
            # Looked at in a thread, as a package may print many of them.
            if waits and type(port) is int and await asyncio.to_thread(self._listens, port):
                self._port.set_result(port)
            if isinstance(reason, str):
                self.reasons.append(reason)
            self._heard(source, line)
