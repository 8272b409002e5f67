"""Work that nobody waits for, kept in hand until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Background:
    """Tasks of the host's event loop; asyncio itself would let one that nobody holds be collected."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Begin it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel what is left, and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
