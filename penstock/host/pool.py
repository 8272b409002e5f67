"""How many processes run at once, and which of them goes: the one that was not asked for longest."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from penstock.host.changes import Changes
from penstock.host.errors import HostError
from penstock.host.limits import Limits


class Member(Protocol):
    """A process with a place in the pool."""

    @property
    def idle(self) -> bool:
        """Whether it may go: it answers nothing, and nobody waits for it."""

    @property
    def used(self) -> float:
        """When it was last asked, by time.monotonic."""

    def memory(self) -> int:
        """Bytes of memory that it alone has."""

    def rest(self) -> None:
        """Begin to end it; from then on it is not idle. Its place is given back once it is gone."""


_M = TypeVar("_M", bound=Member)


@dataclass(frozen=True)
class Room:
    """At most so many processes, with at most so many bytes together; but one may always run."""

    processes: int
    bytes: int

    def fits(self, members: Collection[Member], more: int) -> bool:
        """Whether `more` others have room beside the members."""
        count = len(members) + more
        return count <= 1 or (
            count <= self.processes and sum(member.memory() for member in members) <= self.bytes
        )

    def surplus(self, members: Collection[_M], more: int) -> list[_M]:
        """The idle members that must go before `more` others have room: the one that was not asked for longest first.

        All idle ones where even that is not enough.
        """
        staying, going = list(members), []
        for member in due(members):
            if self.fits(staying, more):
                break
            staying.remove(member)
            going.append(member)
        return going


def due(members: Collection[_M], before: float = math.inf) -> list[_M]:
    """The idle members that were last asked before that time, the one that was not asked for longest first."""
    idle = [member for member in members if member.idle and member.used < before]
    return sorted(idle, key=lambda member: member.used)


class Pool:
    """The processes that run, within the room that the limits give.

    None that answers is ended: then what wants to start waits for a place.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._room = Room(limits.processes, limits.processes_bytes)
        self._members: set[Member] = set()
        self._going: set[Member] = set()
        self._changes = Changes()
        # First come, first served: who has it waits for room.
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def place(self, member: Member) -> AsyncIterator[None]:
        """A place for `member`, from before its process starts until it has ended.

        Raises HostError (503) where there is none within `room_seconds`.
        """
        try:
            async with asyncio.timeout(self._limits.room_seconds), self._turn:
                while not self._room.fits(self._members, 1):
                    self._make_room(1)
                    await self._changes.wait()
                self._members.add(member)
        except TimeoutError:
            raise HostError(
                503,
                f"there is no room for another process: none of {len(self._members)} is idle",
                next_step="try again; PENSTOCK_HOST_PROCESSES and PENSTOCK_HOST_MEMORY let the host have more",
                retry_after=1,
            ) from None
        try:
            yield
        finally:
            self._members.discard(member)
            self._going.discard(member)
            self._changes.notify()

    def freed(self) -> None:
        """A member has become idle: who waits for a place looks again."""
        if self._turn.locked():
            self._changes.notify()

    async def watch(self) -> None:
        """End what was not asked for `idle_seconds`, and what is too much as memory grows; for ever."""
        while True:
            await asyncio.sleep(self._limits.watch_seconds)
            self._end(due(self._members, time.monotonic() - self._limits.idle_seconds))
            self._make_room(0)

    def _make_room(self, more: int) -> None:
        self._end(self._room.surplus(self._members - self._going, more))

    def _end(self, members: Collection[Member]) -> None:
        for member in members:
            self._going.add(member)
            member.rest()
