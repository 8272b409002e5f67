"""The host's functions: which revisions there are, which one is live, and how that changes without a gap."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from penstock.host.background import Background
from penstock.host.errors import HostError
from penstock.host.function import Function
from penstock.host.libraries import Libraries
from penstock.host.limits import Limits
from penstock.host.manifest import MANIFEST, SIGNATURE
from penstock.host.pool import Pool
from penstock.host.rolling import Rolling
from penstock.host.rollouts import Rollouts, timestamp
from penstock.host.runner import Runner, State, version_of
from penstock.host.state import StateFolder, Traffic
from penstock.host.upload import unpack_package
from penstock.rollout.labels import Label, Taken
from penstock.rollout.record import Action, RolloutStatus
from penstock.spec.rollout import Rollout
from penstock.targets import RevisionStatus, Status


class Functions:
    """All functions of one state folder. Its methods belong to the host's event loop.

    Changes to one function happen one after another; requests never wait for them.
    """

    def __init__(self, state: StateFolder, limits: Limits, pool: Pool, background: Background) -> None:
        self._state = state
        self._limits = limits
        self._libraries = Libraries(state, limits)
        self._rollouts = Rollouts(state)
        self._pool = pool
        self._background = background
        self._functions: dict[str, Function] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def start(self) -> None:
        """Take up every function from disk; the live revisions are at zero until they are asked."""
        for name in self._state.names():
            function = self._functions[name] = self._new(name)
            try:
                function.traffic = self._state.traffic(name)
            except HostError as fault:
                function.fault = fault
            if function.traffic is not None:
                function.live = function.runner(function.traffic.revision)
                function.live.keep()
                self._rollouts.take_up(function)
        self._background.spawn(self._libraries.sweep(self._state.packages))
        self._background.spawn(self._judge())

    async def close(self) -> None:
        """Stop every process."""
        runners = [runner for function in self._functions.values() for runner in function.runners()]
        await asyncio.gather(*(runner.stop() for runner in runners), return_exceptions=True)

    # -- what requests need ---------------------------------------------------------------------------------

    def lease(
        self, name: str, revision: str | None = None, *, use: bool = True
    ) -> AbstractAsyncContextManager[Runner]:
        """The process for one request, of the live revision or that one: see `Function.lease`. Raises HostError (404)."""
        return self._get(name).lease(revision, use=use)

    def ready(self, name: str) -> Runner | None:
        """The process of the live revision, where it answers at once and there is nobody else to ask."""
        function = self._functions.get(name)
        if function is None or function.rolling is not None or function.live is None:
            return None
        return function.live if function.live.state is State.READY else None

    def live(self, name: str) -> str | None:
        """The live revision, None where there is none. Raises HostError (404)."""
        live = self._get(name).live
        return None if live is None else live.revision

    def rolling(self, name: str) -> Rolling | None:
        """The rollout in course. Raises HostError (404)."""
        return self._get(name).rolling

    def at_zero(self, name: str) -> bool:
        """Whether the function's live revision has no process, or one that is ending. Raises HostError (404)."""
        live = self._get(name).live
        return live is not None and live.state in (State.IDLE, State.DRAINING)

    def names(self) -> list[str]:
        """Every function, sorted."""
        return sorted(self._functions)

    def status(self, name: str, url: str) -> Status:
        """The function's state; `url` is its live address. Raises HostError (404)."""
        function = self._get(name)
        revisions = {
            revision: RevisionStatus(
                revision=revision, version=version_of(revision), state=State.STOPPED.value
            )
            for revision in self._state.revisions(name)
        }
        for runner in function.runners():
            if runner.revision in revisions:
                revisions[runner.revision] = runner.status()
        traffic, rollout = function.traffic, None
        if function.rolling is not None:
            rollout = function.rolling.course.status()
        elif traffic is not None and traffic.rollout is not None:
            rollout = RolloutStatus.of(traffic.rollout)
        return Status(
            name=name,
            url=url,
            live=traffic.revision if traffic else None,
            since=traffic.since if traffic else None,
            revisions=tuple(revisions.values()),
            rollout=rollout,
        )

    def log_tail(self, name: str, lines: int) -> list[str]:
        """The last `lines` lines of the function's log. Raises HostError (404)."""
        return self._get(name).log.tail(lines)

    # -- what changes them ----------------------------------------------------------------------------------

    async def put(self, name: str, revision: str, archive: Path) -> bool:
        """Take in the zipped package `archive` as that revision once it has proved itself; whether it is new.

        Raises HostError: 422 for a package that is none, is another one or fails its samples, 413, 409, 502; and
        OSError for a full disk. Then nothing of it is left.
        """
        async with self._lock(name):
            staged = self._state.staging()
            try:
                await asyncio.to_thread(unpack_package, archive, staged, name, revision, self._limits)
                async with self._libraries.holding(staged):
                    if self._state.package(name, revision).exists():
                        await self._prove_again(name, revision, staged)
                        return False
                    await self._prove_and_publish(name, revision, staged, self._state.publish)
                    return True
            finally:
                # Published, it has moved away.
                await asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True)
                await self._libraries.sweep(self._state.packages)

    async def _prove_again(self, name: str, revision: str, staged: Path) -> None:
        function = self._functions[name]
        there, sent = (folder / MANIFEST for folder in (self._state.package(name, revision), staged))
        if there.read_bytes() != sent.read_bytes():
            raise HostError(409, f"{name} {revision} is there already with another {MANIFEST}")
        if _newly_signed(there.with_name(SIGNATURE), sent.with_name(SIGNATURE)):
            await self._prove_and_publish(name, revision, staged, self._state.sign)
            return
        for serving in (function.live, function.rolling.runner if function.rolling else None):
            if serving is not None and serving.revision == revision:
                serving.wake()
                await serving.proved()
                return
        function.keep_warm(await self._proven(function, revision))

    async def _prove_and_publish(
        self, name: str, revision: str, staged: Path, publish: Callable[[Path, str, str], None]
    ) -> None:
        function = self._functions.get(name) or self._new(name)
        runner = function.runner(revision, staged)
        runner.start()
        try:
            await runner.proved()
            await asyncio.to_thread(publish, staged, name, revision)
        except BaseException:
            await runner.stop()
            raise
        # It has read the package; should it be started again, then from its final place.
        runner.package = self._state.package(name, revision)
        self._functions[name] = function
        function.keep_warm(runner)

    async def route(self, name: str, revision: str) -> None:
        """Make `revision` the live one: prove it, move the pointer on disk, then serve from it. A rollout ends with that.

        Raises HostError (404 for no such revision, 422, 502) and OSError; then the old one is still live.
        """
        async with self._lock(name):
            function = self._get_with(name, revision)
            if function.rolling is not None and function.rolling.runner.revision == revision:
                await self._rollouts.promote(function, "the live name was moved to it")
                return
            live = function.live
            # One that was refused, and then put again with a signature, has a proven process beside it.
            replaced = live is not None and live.state is not State.READY and function.warm(revision)
            if live is not None and live.revision == revision and not replaced:
                live.wake()
                await live.proved()
                return
            runner = await self._proven(function, revision)
            rollout = function.traffic.rollout if function.traffic else None
            rolling, function.rolling = function.rolling, None
            if rolling is not None:
                rollout = rolling.course.ended("aborted", f"the live name was moved to {revision}")
            traffic = Traffic(revision=revision, since=timestamp(), rollout=rollout)
            try:
                await asyncio.to_thread(self._state.point, name, traffic)
            except BaseException:
                function.rolling = rolling
                function.keep_warm(runner)
                raise
            runner.keep()
            old, function.live = function.live, runner
            function.traffic, function.fault = traffic, None
            function.changes.notify()
            for leaving in (old, rolling.runner if rolling else None):
                if leaving is not None:
                    function.let_go(leaving)

    async def roll_out(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        """Begin to move traffic to `revision`, which proves itself first; by the same `run` again nothing changes.

        Raises HostError (404 for no such revision; 409 where nothing is live, that revision is, or another one is being
        rolled out; 422, 502) and OSError; then all is as it was.
        """
        async with self._lock(name):
            function = self._get_with(name, revision)
            if not self._rollouts.is_asked_again(function, revision, run):
                await self._rollouts.begin(function, await self._proven(function, revision), plan, run)

    async def steer(self, name: str, action: Action) -> None:
        """Do what a person wants with the rollout in course. Raises HostError (404; 409 where there is none) and OSError."""
        async with self._lock(name):
            await self._rollouts.steer(self._get(name), action)

    def label(self, name: str, labels: Mapping[str, Label]) -> Taken:
        """Tell the rollout in course what is true of requests, by their ids; without one none is known.

        Raises HostError (404; 422 for what is no answer of the function, and then none is taken).
        """
        rolling = self._get(name).rolling
        if rolling is None:
            return Taken(unknown=len(labels))
        try:
            return rolling.course.label(labels)
        except ValueError as error:
            raise HostError(
                422, str(error), next_step="mend it and send all again: none was taken"
            ) from error

    async def _judge(self) -> None:
        """Judge every rollout in course, again and again."""
        while True:
            await asyncio.sleep(self._limits.judge_seconds)
            for name, function in list(self._functions.items()):
                try:
                    await self._rollouts.judge(function, self._lock(name))
                except OSError as error:
                    # Until there is room again it stays as it is on disk, and one that is worse gets no traffic.
                    function.log.write("rollout", "host", str(error).encode())

    async def remove_revision(self, name: str, revision: str) -> None:
        """Take one revision away. Raises HostError (404; 409 for the live one)."""
        async with self._lock(name):
            function = self._get(name)
            if function.traffic is not None and function.traffic.revision == revision:
                raise HostError(
                    409, f"{revision} is the live revision of {name}", next_step="route to another one first"
                )
            if function.rolling is not None and function.rolling.runner.revision == revision:
                raise HostError(
                    409, f"{revision} of {name} is being rolled out", next_step="end the rollout first"
                )
            if not self._state.package(name, revision).is_dir():
                raise HostError(404, f"{name} has no revision {revision}")
            if function.candidate is not None and function.candidate.revision == revision:
                candidate, function.candidate = function.candidate, None
                await candidate.stop()
            await asyncio.to_thread(self._state.remove_revision, name, revision)
            if (pinned := function.pinned.pop(revision, None)) is not None:
                function.let_go(pinned)
            if not self._state.revisions(name):
                await self._forget(name, function)
            await self._libraries.sweep(self._state.packages)

    async def remove(self, name: str) -> None:
        """Take the function away, after it has answered what it has begun. Raises HostError (404)."""
        async with self._lock(name):
            function = self._get(name)
            await self._forget(name, function)
            await self._libraries.sweep(self._state.packages)

    async def _forget(self, name: str, function: Function) -> None:
        # Off the disk first: were the host killed here, no half of it would come back.
        await asyncio.to_thread(self._state.remove_function, name)
        del self._functions[name]
        runners, function.live, function.rolling = function.runners(), None, None
        function.pinned.clear()
        function.changes.notify()
        await asyncio.gather(*(runner.drain() for runner in runners))
        function.log.remove()
        await asyncio.to_thread(shutil.rmtree, self._state.predictions / name, ignore_errors=True)

    # -- parts of these -------------------------------------------------------------------------------------

    async def _proven(self, function: Function, revision: str) -> Runner:
        """A ready process of a revision on disk, the warm one where there is one."""
        if (candidate := function.warm(revision)) is not None:
            function.candidate = None
            return candidate
        runner = function.runner(revision)
        runner.start()
        try:
            await runner.proved()
        except BaseException:
            await runner.stop()
            raise
        return runner

    def _new(self, name: str) -> Function:
        return Function(name, self._state, self._libraries, self._pool, self._limits, self._background)

    def _get(self, name: str) -> Function:
        if name not in self._functions:
            raise HostError(
                404, f"there is no function {name}", next_step="GET /functions lists those there are"
            )
        return self._functions[name]

    def _get_with(self, name: str, revision: str) -> Function:
        function = self._get(name)
        if not self._state.package(name, revision).is_dir():
            raise HostError(404, f"{name} has no revision {revision}", next_step="put it first")
        return function

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _newly_signed(there: Path, sent: Path) -> bool:
    """Whether a package that is there already was sent with a signature that it has not."""
    return sent.exists() and not (there.exists() and there.read_bytes() == sent.read_bytes())
