"""Takes what functions log of their predictions to the store, in processes of its own beside the host."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from pathlib import Path

from penstock import launch, predictions
from penstock.host.limits import Limits

_log = logging.getLogger("penstock.host")


class Compaction:
    """Looks into `spool` now and then, and compacts what is complete there into `store` (penstock.predictions).

    That needs pyarrow, which takes a hundred MB once it is loaded: a process is started for it, where there is work.
    """

    def __init__(self, spool: Path, store: str, limits: Limits) -> None:
        self._spool = spool
        self._command = [
            sys.executable, "-m", "penstock.predictions", "--spool", str(spool), "--store", store,
        ]  # fmt: skip
        self._seconds = limits.compact_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, at once for what an earlier host left."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop it; what it was at is done again by the next host."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            # Nothing that the disk or the store does to it may end it: the segments are there next time.
            try:
                if await asyncio.to_thread(predictions.complete, self._spool):
                    await self._compact()
            except OSError as error:
                _log.warning("prediction logs were not compacted: %s", error)
            await asyncio.sleep(self._seconds)

    async def _compact(self) -> None:
        # It says itself what it could not do, on the host's own stderr.
        process = await asyncio.create_subprocess_exec(
            *launch.command(*self._command), cwd="/", stdin=asyncio.subprocess.DEVNULL
        )
        try:
            await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
