"""Micro-batches: requests that came in while others were worked on are scored together.

ONNX Runtime takes about as long for one row as for ten. No timer is involved: a batch is what the event loop had read
when it came round to it, so a request that is alone waits for nothing, and the busier it is the larger batches get.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Row = TypeVar("Row")
Answer = TypeVar("Answer")

#: So many rows take a third of a millisecond, which bounds what one waits for the others of its batch.
MAX_BATCH = 64


class Batches(Generic[Row, Answer]):
    """Scores rows in batches by `score`, which gives an answer for each of them and never raises."""

    def __init__(self, score: Callable[[Sequence[Row]], Sequence[Answer]]) -> None:
        self._score = score
        self._open: _Batch[Row, Answer] | None = None

    async def answer(self, row: Row) -> Answer:
        """The answer to one row."""
        batch = self._open
        if batch is not None and len(batch.rows) < MAX_BATCH:
            batch.rows.append(row)
            batch.others.append(asyncio.get_running_loop().create_future())
            return await batch.others[-1]
        batch = self._open = _Batch([row])
        try:
            await asyncio.sleep(0)
        finally:
            # Whoever came first does it for all, even where its own request was cancelled meanwhile.
            if self._open is batch:
                self._open = None
            first, *others = self._score(batch.rows)
            for future, answer in zip(batch.others, others, strict=True):
                if not future.done():  # its request was cancelled
                    future.set_result(answer)
        return first


@dataclass(slots=True)
class _Batch(Generic[Row, Answer]):
    """Rows to be scored together, and who waits for the answers to all but the first."""

    rows: list[Row]
    others: list[asyncio.Future[Answer]] = field(default_factory=list)
