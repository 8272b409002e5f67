"""A request that came whole, as a server has it for an application's `take`: what it is answered is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """What is sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Asked:
    """To a `target`, from 192.0.2.7. Belongs to an event loop."""

    port = 1
    client = ("192.0.2.7", 1)

    def __init__(self, target: bytes, headers: Headers, body: bytes) -> None:
        self.target, self.headers, self.body = target, headers, body
        self.answers: list[Answer] = []
        self._answered = asyncio.Event()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Kept."""
        self.answers.append(Answer(status, list(headers), body))
        self._answered.set()

    async def answered(self) -> Answer:
        """The one answer that there is."""
        await self._answered.wait()
        await asyncio.sleep(0.005)  # no other follows
        (answer,) = self.answers
        return answer
