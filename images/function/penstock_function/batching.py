"""Micro-batches: requests that came in while others were worked on are scored together.

ONNX Runtime takes about as long for one row as for ten. No timer is involved: a batch is what the event loop had read
when it came round to it, so a request that is alone waits for nothing, and the busier it is the larger batches get.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Row = TypeVar("Row")
Answer = TypeVar("Answer")

#: So many rows take a third of a millisecond, which bounds what one waits for the others of its batch.
MAX_BATCH = 64


class Batches(Generic[Row, Answer]):
    """Scores rows in batches by `score`, which gives an answer for each of them and never raises."""

    def __init__(self, score: Callable[[Sequence[Row]], Sequence[Answer]]) -> None:
        self._score = score
        self._waiting: list[tuple[Row, Callable[[Answer], None]]] = []

    def add(self, row: Row, done: Callable[[Answer], None]) -> None:
        """Have one row scored; `done` is called with its answer."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        self._waiting.append((row, done))

    async def answer(self, row: Row) -> Answer:
        """The answer to one row."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(answer: Answer) -> None:
            if not future.done():  # its request was cancelled
                future.set_result(answer)

        self.add(row, done)
        return await future

    def _next(self) -> None:
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
        answers = self._score([row for row, _ in batch])
        for (_, done), answer in zip(batch, answers, strict=True):
            try:
                done(answer)
            except Exception as error:  # the others of the batch have their answers all the same
                told = {"message": "an answer could not be given", "exception": error}
                asyncio.get_running_loop().call_exception_handler(told)
