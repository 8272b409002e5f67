"""Running actions: each a function of the host, started when it is asked, whose process speaks OpenWhisk's action interface.

The interface: https://github.com/apache/openwhisk/blob/master/docs/actions-new.md#action-interface
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import re
import shutil
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from penstock.host.background import Background
from penstock.host.errors import HostError
from penstock.host.function import Function
from penstock.host.libraries import Libraries
from penstock.host.limits import MIB
from penstock.host.limits import Limits as HostLimits
from penstock.host.openwhisk.entities import MAX_TIMEOUT, Action, Limits, parsed
from penstock.host.pool import Pool
from penstock.host.runner import Runner
from penstock.host.state import StateFolder
from penstock.host.upload import take_package
from penstock.host.upstream import Answer, Connections, Ended, TooLarge

SUCCESS: Final = "success"
APPLICATION_ERROR: Final = "application error"
DEVELOPER_ERROR: Final = "action developer error"
INTERNAL_ERROR: Final = "whisk internal error"

MAX_RESULT: Final = 2**20  # bytes
#: A runtime prints it on both streams when an activation has ended.
_SENTINEL: Final = b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
#: What an activation printed is on its way in a pipe when its answer is there; a process that hangs is not waited for.
_LOG_SECONDS: Final = 0.5
#: OpenWhisk's memory is what a container has in use, the host's bound is on what is reserved for writing: a runtime reserves
#: some 200 MiB, most of which it never touches.
_RESERVED: Final = 256 * MIB
_JSON: Final = [(b"content-type", b"application/json")]


@dataclass(frozen=True)
class Outcome:
    """How an activation ended; `logs` are lines of time, stream and text, or of a sequence the ids of its components'."""

    status: str
    result: Any
    logs: list[str]

    @classmethod
    def error(cls, status: str, error: Any, logs: list[str] | None = None) -> Outcome:
        """One without a result."""
        return cls(status, {"error": error}, logs or [])


def key_of(namespace: str, path: str) -> str:
    """The name of an action's function on the host: to be read, and its own alone."""
    readable = re.sub(r"[^A-Za-z0-9_-]", "-", path)[:40]
    return f"a-{readable}-{hashlib.sha256(f'{namespace}/{path}'.encode()).hexdigest()[:16]}"


class Actions:
    """The actions that have code, by their keys. Its methods belong to the host's event loop."""

    def __init__(self, state: StateFolder, pool: Pool, limits: HostLimits, background: Background) -> None:
        self._state = state
        self._libraries = Libraries(state, limits)
        self._pool = pool
        self._limits = limits
        self._background = background
        self._functions: dict[str, Function] = {}
        self._connections = Connections(MAX_RESULT, MAX_TIMEOUT / 1000, idle_seconds=3.0)
        # The start of a runner at which its process was initialised.
        self._begun: WeakKeyDictionary[Runner, int] = WeakKeyDictionary()
        #: When its process answered last, by the monotonic clock.
        self._answered: WeakKeyDictionary[Runner, float] = WeakKeyDictionary()
        self._beginning: WeakKeyDictionary[Runner, asyncio.Lock] = WeakKeyDictionary()

    def open(self, known: Mapping[str, Action]) -> None:
        """Take up the known actions, all at zero, and clear away what no action needs: a crash left it."""
        for key in self._state.names():
            if key not in known:
                self._state.remove_function(key)
        for key, action in known.items():
            self.take_up(key, action)
            self._keep_only(key, action)

    async def close(self) -> None:
        """End their processes."""
        runners = [runner for function in self._functions.values() for runner in function.runners()]
        await asyncio.gather(*(runner.stop() for runner in runners), return_exceptions=True)
        self._connections.close()

    async def store(self, key: str, code: bytes) -> str:
        """Lay the function package in the zip `code` on disk; its revision. Raises HostError (413, 422) and OSError."""
        return await asyncio.to_thread(self._store, key, code)

    def _store(self, key: str, code: bytes) -> str:
        staged = self._state.staging()
        try:
            _, revision = take_package(io.BytesIO(code), staged, self._limits)
            if not self._state.package(key, revision).exists():
                self._state.publish(staged, key, revision)
            return revision
        finally:
            # Published, it has moved away.
            shutil.rmtree(staged, ignore_errors=True)

    def take_up(self, key: str, action: Action) -> None:
        """From now on run the action's revision; what runs on another one ends once it has answered."""
        assert action.revision is not None
        limits = replace(self._limits, memory_bytes=action.limits.memory * MIB + _RESERVED)
        function = self._functions.get(key)
        if function is None:
            function = Function(key, self._state, self._libraries, self._pool, limits, self._background)
            self._functions[key] = function
        elif function.limits == limits and function.live and function.live.revision == action.revision:
            return
        function.limits = limits
        old, function.live = function.live, function.runner(action.revision)
        function.live.keep()
        function.changes.notify()
        if old is not None:
            function.let_go(old)

    async def settle(self, key: str, action: Action) -> None:
        """Clear away the revisions that the action had before."""
        await asyncio.to_thread(self._keep_only, key, action)
        await self._libraries.sweep(self._state.packages)

    def _keep_only(self, key: str, action: Action) -> None:
        for revision in self._state.revisions(key):
            if revision != action.revision:
                self._state.remove_revision(key, revision)

    async def remove(self, key: str) -> None:
        """Take an action away; what it has begun to answer it answers."""
        function = self._functions.pop(key, None)
        if function is None:
            return
        await asyncio.to_thread(self._state.remove_function, key)
        live, function.live = function.live, None
        if live is not None:
            function.changes.notify()
            function.let_go(live)
        function.log.remove()
        await self._libraries.sweep(self._state.packages)

    async def code(self, key: str, revision: str) -> str:
        """An action's package as a zip in base64."""
        return await asyncio.to_thread(_packed, self._state.package(key, revision))

    async def run(self, key: str, number: str, value: Mapping[str, Any], limits: Limits) -> Outcome:
        """One activation, `number`, of an action."""
        function = self._functions.get(key)
        if function is None:
            return Outcome.error(INTERNAL_ERROR, "The action was deleted before its turn came.")
        printed = Printed(limits.logs * MIB)
        try:
            async with function.lease() as runner:
                with runner.heard(printed):
                    status, result = await self._ask(runner, number, value, limits.timeout)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_LOG_SECONDS):
                            await printed.complete.wait()
        except HostError as error:
            refused = function.live is not None and function.live.refused
            return Outcome.error(DEVELOPER_ERROR if refused else INTERNAL_ERROR, error.message)
        return Outcome(status, result, printed.lines)

    async def _ask(
        self, runner: Runner, number: str, value: Mapping[str, Any], milliseconds: int
    ) -> tuple[str, Any]:
        """The status and result of one activation."""
        milliseconds = min(milliseconds, MAX_TIMEOUT)
        deadline, began, asks = round(time.time() * 1000) + milliseconds, time.monotonic(), False
        asked = {"value": value, "activation_id": number, "deadline": str(deadline)}
        try:
            async with asyncio.timeout(milliseconds / 1000):
                if self._begun.get(runner) != runner.starts:
                    await self._begin(runner)
                asks = True
                answer = await self._post(runner, b"/run", asked)
            self._answered[runner] = time.monotonic()
            result = parsed(answer.content)
        except TimeoutError:
            # As OpenWhisk ends a container: else whoever asks next waits behind what hangs. One that answers others is slow.
            if asks and self._answered.get(runner, 0.0) < began:
                runner.kill()
            return _developer(f"The action exceeded its time limits of {milliseconds} milliseconds.")
        except TooLarge:
            return _developer(f"The action produced a response of more than {MAX_RESULT} bytes.")
        except (Ended, ValueError):
            return _developer("The action did not produce a valid response and exited unexpectedly.")
        if answer.status != 200:
            return _developer(result)
        if not isinstance(result, dict | list):
            return _developer("The action did not return a dictionary or array.")
        if isinstance(result, dict) and "error" in result:
            return APPLICATION_ERROR, {"error": result["error"]}
        return SUCCESS, result

    async def _begin(self, runner: Runner) -> None:
        """Initialise its process, which has the package already, as the interface wants it: once."""
        async with self._beginning.setdefault(runner, asyncio.Lock()):
            if self._begun.get(runner) != runner.starts:
                await self._post(runner, b"/init", {"value": {}})
                self._begun[runner] = runner.starts

    async def _post(self, runner: Runner, path: bytes, body: Mapping[str, Any]) -> Answer:
        if runner.port is None:
            raise Ended("it has ended")
        return await self._connections.ask(runner.port, "POST", path, _JSON, json.dumps(body).encode())


class Printed:
    """What a process prints during an activation, up to so many bytes; beside others', where it works on several."""

    def __init__(self, most: int) -> None:
        self.lines: list[str] = []
        self.complete = asyncio.Event()
        self._left = most
        self._open = {"out", "err"}

    def __call__(self, source: str, line: bytes) -> None:
        if line.rstrip() == _SENTINEL:
            self._open.discard(source)
            if not self._open:
                self.complete.set()
            return
        if self._left < 0:
            return
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = f"{stamp} std{source}: {line.decode('utf-8', 'replace')}"
        # As it is kept: an empty line is none in memory.
        self._left -= len(said) + 1
        if self._left < 0:
            said = f"{stamp} stderr: Logs were truncated: they have more bytes than the action's limit."
        self.lines.append(said)


def _developer(error: Any) -> tuple[str, Any]:
    return DEVELOPER_ERROR, {"error": error}


def _packed(package: Path) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(package))
    return base64.b64encode(buffer.getvalue()).decode()
