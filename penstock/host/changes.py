"""Waiting for something to become otherwise."""

from __future__ import annotations

import asyncio


class Changes:
    """Wakes everyone who waits for a change; each then looks for itself."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake all who wait now."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Return at the next change."""
        await self._event.wait()
