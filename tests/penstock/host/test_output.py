"""Reading what a runtime prints, however it prints it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys

import pytest

from penstock.host.limits import Limits
from penstock.host.openwhisk.actions import Printed
from penstock.host.output import event_in, lines_of
from penstock.host.process import RuntimeProcess
from penstock.host.runner import restart_pause


def lines(*chunks: bytes) -> list[bytes]:
    """The lines of a stream that comes in these chunks."""

    async def read() -> list[bytes]:
        stream = asyncio.StreamReader()
        for chunk in chunks:
            stream.feed_data(chunk)
        stream.feed_eof()
        return [line async for line in lines_of(stream)]

    return asyncio.run(read())


def test_lines_are_put_together() -> None:
    """Lines come whole whatever the chunks, and the last one also without its end."""
    assert lines(b"on", b"e\ntwo\n\nth", b"ree") == [b"one", b"two", b"", b"three"]


def test_a_line_without_end() -> None:
    """A runtime that prints for ever without a newline fills no memory: the line comes in pieces."""
    pieces = lines(b"x" * 200_000, b"\nafter")
    assert b"".join(pieces) == b"x" * 200_000 + b"after"
    assert max(len(piece) for piece in pieces) < 140_000
    assert pieces[-1] == b"after"


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b"text", b"{\xff}", b" {}", b'{"a":' * 12_000])
def test_what_is_no_event(line: bytes) -> None:
    """Anything that a library may print is no event and no error."""
    assert event_in(line) == {}


def test_printed_lines_are_bounded() -> None:
    """By what is kept of them: of an empty one that is more than its bytes."""
    printed = Printed(1000)
    for _ in range(100):
        printed("out", b"")
    assert sum(len(line) + 1 for line in printed.lines[:-1]) <= 1000
    assert "truncated" in printed.lines[-1]


def test_a_port_is_that_of_the_process_itself() -> None:
    """What a package's code prints as it is loaded leads nobody to another's process."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            there = other.getsockname()[1]
            code = f"""
import json, socket, time
print(json.dumps({{"event": "ready", "port": {there}}}), flush=True)
print(json.dumps({{"event": "ready", "port": True}}), flush=True)
own = socket.create_server(("127.0.0.1", 0))
print(json.dumps({{"event": "ready", "port": own.getsockname()[1]}}), flush=True)
time.sleep(60)
"""
            heard: list[bytes] = []
            process = await RuntimeProcess.start(
                [sys.executable, "-c", code], lambda _, line: heard.append(line)
            )
            port = await process.port(20)
            process.signal(signal.SIGKILL)
            await process.end()
            assert len(heard) == 3
            assert port == json.loads(heard[2])["port"] != there

    asyncio.run(scenario())


def test_an_event() -> None:
    """A JSON object on a line of its own is one."""
    assert event_in(b'{"event": "ready", "port": 8080}') == {"event": "ready", "port": 8080}


def test_restarts_wait_longer_up_to_a_cap() -> None:
    """Each wait is drawn from a range that doubles until the cap, so that no two functions keep in step."""
    limits = Limits(backoff_first=1.0, backoff_cap=10.0)
    for failures, longest in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (50, 10.0), (10_000, 10.0)]:
        pauses = {restart_pause(failures, limits) for _ in range(50)}
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(pauses) > 1
