"""A load generator: raw HTTP/1.1 over kept connections, lean enough to be no part of what is measured.

`python -m bench.load URL BODY --requests N --clients C` posts the file BODY to URL N times over C connections,
each sending its next request when its last was answered, and prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop


class _Client(asyncio.Protocol):
    """One connection: sends the request, waits for the whole answer, notes how long it took, begins again."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._got = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._send()

    def _send(self) -> None:
        if self._load.left <= 0:
            self._transport.close()
            return
        self._load.left -= 1
        self._sent = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, separator, body = self._got.partition(b"\r\n\r\n")
        if not separator:
            return
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        if len(body) < length:
            return
        self._load.seconds.append(time.perf_counter() - self._sent)
        if not head.startswith(b"HTTP/1.1 200"):
            self._load.fail(RuntimeError(self._got[:500].decode(errors="replace")))
        self._got = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.closed(error)


class Load:
    """A bounded number of equal requests, shared by the connections."""

    def __init__(self, url: str, body: bytes, requests: int, clients: int) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.request = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.total = self.left = requests
        self.open = clients
        self.seconds: list[float] = []

    def closed(self, error: Exception | None) -> None:
        """Note that a connection ended; the last one ends the load."""
        self.open -= 1
        if len(self.seconds) < self.total and (error or self.left > 0 or self.open == 0):
            self.fail(error or ConnectionError("the server closed a connection before it had answered"))
        elif self.open == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """End the load with `error`."""
        self.left = 0
        if not self.done.done():
            self.done.set_exception(error)

    async def run(self) -> dict[str, float]:
        """Send all requests; raises RuntimeError with the answer if one is not 200."""
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()

        def unexpected(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            # An error inside a callback would otherwise be printed, and this would wait for ever.
            self.fail(context.get("exception") or RuntimeError(context["message"]))

        loop.set_exception_handler(unexpected)
        start = time.perf_counter()
        for _ in range(self.open):
            await loop.create_connection(lambda: _Client(self), self.host, self.port)
        await self.done
        taken = time.perf_counter() - start
        ordered = sorted(self.seconds)
        return {
            "rate": len(ordered) / taken,
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.load")
    parser.add_argument("url")
    parser.add_argument("body", type=Path)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    options = parser.parse_args()
    load = Load(options.url, options.body.read_bytes(), options.requests, options.clients)
    json.dump(uvloop.run(load.run()), sys.stdout)


if __name__ == "__main__":
    main()
