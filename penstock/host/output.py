"""Reading what a runtime prints: lines, some of which are events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator


def event_in(line: bytes) -> dict[str, object]:
    """The JSON object that a line of a runtime's output is; empty for any other line."""
    if not line.startswith(b"{"):
        return {}
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of `stream`; one longer than 64 KiB comes in pieces (StreamReader's own `readline` would raise)."""
    rest = b""
    while chunk := await stream.read(65536):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) >= 65536:
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line
    if rest:
        yield rest
