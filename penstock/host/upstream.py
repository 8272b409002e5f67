"""The host's connections to the processes of its functions: HTTP/1.1 over loopback, kept open, and as little else as can be.

A general client takes longer for a request than a small model for its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

Headers = list[tuple[bytes, bytes]]


class Ended(Exception):
    """The process cannot be reached, ended the connection before its answer was whole, or does not speak HTTP."""


class TooLarge(Exception):
    """An answer has more bytes than it may have."""


@dataclass
class Answer:
    """What a process answered; names of headers in lower case."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    content: bytes = b""


#: What comes of a request.
Outcome = Answer | Exception


class Connections:
    """Connections by the port of the process, each for one request at a time. Belongs to the host's event loop.

    An answer may have `max_bytes`; what was idle for more than `idle_seconds` is not used again.
    """

    def __init__(self, max_bytes: int, idle_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._idle: dict[int, list[_Connection]] = {}

    async def ask(self, port: int, method: str, target: bytes, headers: Headers, content: bytes) -> Answer:
        """Send a request for `target` to 127.0.0.1:`port`; the whole answer. Raises Ended and TooLarge."""
        loop = asyncio.get_running_loop()
        connection = self._take(port, loop.time())
        answered: asyncio.Future[Answer] = loop.create_future()

        def done(outcome: Outcome) -> None:
            if answered.done():  # whoever asked is gone, or out of patience
                return
            if isinstance(outcome, Answer):
                answered.set_result(outcome)
            else:
                answered.set_exception(outcome)

        try:
            if connection is None:
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._max_bytes, self._drop), "127.0.0.1", port
                )
                if not connection.open:
                    raise Ended("it closed the connection")
            connection.ask(port, method, target, headers, content, done)
            return await answered
        except OSError as error:
            raise Ended(str(error)) from error
        finally:
            if connection is not None:
                self._leave(connection)

    def begin(
        self,
        port: int,
        method: str,
        target: bytes,
        headers: Headers,
        content: bytes,
        done: Callable[[Outcome], None],
    ) -> Callable[[Exception], None] | None:
        """The same where a connection is open and idle, else None; `done` is called with what comes of it.

        What it gives ends the request with an error.
        """
        connection = self._take(port, asyncio.get_running_loop().time())
        if connection is None:
            return None

        def leave(outcome: Outcome) -> None:
            self._leave(connection)
            done(outcome)

        connection.ask(port, method, target, headers, content, leave)
        return connection.fail

    def idle(self, port: int) -> bool:
        """Whether one to that port is open and can be used."""
        connections = self._idle.get(port)
        if not connections:
            return False
        last = connections[-1]
        return last.open and asyncio.get_running_loop().time() - last.idle_since <= self._idle_seconds

    def close(self) -> None:
        """Close those that are idle."""
        for port in list(self._idle):
            self._close(port)

    def _take(self, port: int, now: float) -> _Connection | None:
        """The one that was used last; if even that was idle for long, none, and all of them go."""
        idle = self._idle.get(port, [])
        while idle:
            connection = idle.pop()
            if now - connection.idle_since > self._idle_seconds:
                connection.close()
                self._close(port)
            elif connection.open:
                return connection
        return None

    def _leave(self, connection: _Connection) -> None:
        """One has its answer, or the answer to come belongs to nobody."""
        if connection.reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.setdefault(connection.port, []).append(connection)
        else:
            connection.close()

    def _close(self, port: int) -> None:
        for connection in self._idle.pop(port, []):
            connection.close()

    def _drop(self, connection: _Connection) -> None:
        """A connection ended: it is not used again, and a process that is gone leaves nothing behind."""
        idle = self._idle.get(connection.port, [])
        if connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.port, None)


class _Connection(asyncio.Protocol):
    """One connection, and what is parsed of the answer on it. `reusable` once an answer is whole and another may follow."""

    def __init__(self, max_bytes: int, lost: Callable[[_Connection], None]) -> None:
        self.port = 0
        self.idle_since = 0.0
        self.reusable = False
        self._max_bytes = max_bytes
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head = False
        self._answer = Answer()
        self._chunks: list[bytes] = []
        self._size = 0
        self._done: Callable[[Outcome], None] | None = None
        #: What the parser found, to be told once it has returned: what is called from within it cannot fail.
        self._outcome: Outcome | None = None

    @property
    def open(self) -> bool:
        """Whether the process has not ended it."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(
        self,
        port: int,
        method: str,
        target: bytes,
        headers: Headers,
        content: bytes,
        done: Callable[[Outcome], None],
    ) -> None:
        """Send a request on an open connection; `done` is called once, with its answer, Ended, TooLarge, or that by which it is failed."""
        assert self._transport is not None
        self.port, self.reusable, self._done = port, False, done
        self._head = method == "HEAD"
        lines = [b"%s %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % (method.encode("ascii"), target, port)]
        lines += [b"%s: %s\r\n" % pair for pair in headers]
        lines.append(b"content-length: %d\r\n\r\n" % len(content))
        # One packet where the body is small.
        self._transport.write(b"".join((*lines, content)))

    def fail(self, error: Exception) -> None:
        """Nobody waits for the answer any more, if it has not come."""
        self._found(error)
        self._tell()

    def close(self) -> None:
        """End it at once; what is on its way is lost."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    # -- what asyncio calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._done is None:  # nobody asked
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._found(Ended(f"its answer is no HTTP: {error}"))
        self._tell()

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self.fail(Ended(str(error) if error else "it closed the connection"))
        self._lost(self)

    # -- what httptools calls ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._outcome is not None:  # in the same packet as the answer
            self.close()
        self._answer, self._chunks, self._size = Answer(), [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        if self._head:  # the parser would wait for the body that the header speaks of
            self._finish(False)

    def on_body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._max_bytes:
            self._found(TooLarge())
        else:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if self._answer.status >= 200:  # before it there may be others, for information
            self._finish(self._parser.should_keep_alive())

    def _finish(self, reusable: bool) -> None:
        self._answer.content = b"".join(self._chunks)
        if self._found(self._answer):
            self.reusable = reusable

    def _found(self, outcome: Outcome) -> bool:
        """Whether that is what comes of the request: what is found first does."""
        if self._outcome is not None:
            return False
        self._outcome = outcome
        return True

    def _tell(self) -> None:
        outcome, done = self._outcome, self._done
        if outcome is not None:
            # An idle connection keeps no answer.
            self._outcome = self._done = None
            self._answer, self._chunks = Answer(), []
            if done is not None:
                done(outcome)
