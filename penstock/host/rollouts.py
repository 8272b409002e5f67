"""What changes the rollout of a function: how it begins, goes on and ends, each in one write."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from penstock.host.errors import HostError
from penstock.host.function import Function
from penstock.host.rolling import Rolling
from penstock.host.runner import Runner
from penstock.host.state import StateFolder, Traffic
from penstock.rollout.record import AFTER, Action, Record, State
from penstock.spec.rollout import Rollout


class Rollouts:
    """Rollouts of the functions of one state folder. Whoever calls holds the function's lock, but for `judge`.

    Writes raise OSError; then all is as it was.
    """

    def __init__(self, state: StateFolder) -> None:
        self._state = state

    def take_up(self, function: Function) -> None:
        """Go on with the rollout that was in course when the last host ended, if any."""
        rollout = function.traffic.rollout if function.traffic else None
        if rollout is not None and not rollout.over:
            function.rolling = Rolling.of(rollout, function.runner(rollout.revision), function.limits)
            function.rolling.runner.keep()

    def is_asked_again(self, function: Function, revision: str, run: str) -> bool:
        """Whether this rollout is in course, or was begun by that very run. Raises HostError (409) where it cannot begin."""
        name, traffic = function.name, function.traffic
        if traffic is None:
            raise HostError(
                409, f"{name} has no live revision to roll out beside", next_step="move the live name to one"
            )
        last = traffic.rollout
        if last is not None and last.revision == revision and (last.run == run or not last.over):
            return True
        if last is not None and not last.over:
            raise HostError(
                409,
                f"{last.revision} of {name} is being rolled out",
                next_step=f"wait for its end, or end it: POST /functions/{name}/rollout/abort",
            )
        if traffic.revision == revision:
            raise HostError(409, f"{revision} is the live revision of {name} already")
        return False

    async def begin(self, function: Function, runner: Runner, plan: Rollout, run: str) -> None:
        """Begin to move traffic to the revision of `runner`, which has proved itself."""
        assert function.traffic is not None
        now = timestamp()
        record = Record(revision=runner.revision, run=run, plan=plan, began=now, since=now)
        try:
            await self._point(function, function.traffic.model_copy(update={"rollout": record}))
        except BaseException:
            function.keep_warm(runner)
            raise
        runner.keep()
        function.rolling = Rolling.of(record, runner, function.limits)

    async def steer(self, function: Function, action: Action) -> None:
        """Do what a person wants with the rollout in course. Raises HostError (409 where there is none; 422, 502)."""
        rolling = function.rolling
        if rolling is None:
            raise HostError(
                409, f"no rollout of {function.name} is in course", next_step="its status tells the last one"
            )
        if action == "promote":
            await self.promote(function, "by a person")
        elif action == "abort":
            await self._conclude(function, rolling, "aborted", "by a person")
        else:
            further = rolling.course.record.model_copy(update={"state": AFTER[action]})
            await self._go_on(function, rolling, further)

    async def promote(self, function: Function, reason: str) -> None:
        """End the rollout in course well before its time, once its process is there. Raises HostError (422, 502)."""
        rolling = function.rolling
        assert rolling is not None
        rolling.runner.wake()
        await rolling.runner.proved()
        await self._conclude(function, rolling, "promoted", reason)

    async def judge(self, function: Function, lock: asyncio.Lock) -> None:
        """Judge the rollout in course, if there is one, and do what follows unless the function's `lock` is held."""
        if (rolling := function.rolling) is None:
            return
        now = datetime.now(UTC)
        verdict = rolling.course.verdict(now)
        if verdict.word == "go on":
            return
        # A worse one is asked no more at once, whoever else is changing the function.
        rolling.course.stopped = verdict.word == "worse"
        if lock.locked():  # then what follows does so at the next look: no other rollout waits for it
            return
        async with lock:
            further = rolling.course.advanced(now)
            if verdict.word == "worse":
                await self._conclude(function, rolling, "worse", verdict.reason)
            elif further is None:
                await self._conclude(
                    function, rolling, "promoted", "it was no worse than tolerated at any step"
                )
            else:
                await self._go_on(function, rolling, further)

    async def _go_on(self, function: Function, rolling: Rolling, record: Record) -> None:
        assert function.traffic is not None
        await self._point(function, function.traffic.model_copy(update={"rollout": record}))
        rolling.course.become(record)

    async def _conclude(self, function: Function, rolling: Rolling, state: State, reason: str) -> None:
        """End it, all traffic going to its revision (`promoted`) or to the live one."""
        assert function.traffic is not None
        traffic = function.traffic.model_copy(update={"rollout": rolling.course.ended(state, reason)})
        if state == "promoted":
            traffic = traffic.model_copy(update={"revision": rolling.runner.revision, "since": timestamp()})
        await self._point(function, traffic)
        rolling.course.stopped = True
        function.rolling, leaving = None, rolling.runner
        if state == "promoted":
            assert function.live is not None
            function.live, leaving = rolling.runner, function.live
        function.changes.notify()
        function.log.write(rolling.runner.revision, "host", f"rollout {state}: {reason}".encode())
        function.let_go(leaving)

    async def _point(self, function: Function, traffic: Traffic) -> None:
        await asyncio.to_thread(self._state.point, function.name, traffic)
        function.traffic = traffic


def timestamp() -> str:
    """Now, as it is kept (ISO 8601, UTC)."""
    return datetime.now(UTC).isoformat(timespec="seconds")
