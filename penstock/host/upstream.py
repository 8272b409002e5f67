"""The host's connections to the processes of its functions: HTTP/1.1 over loopback, kept open, and as little else as can be.

A general client takes longer for a request than a small model for its answer.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
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

    status: int
    headers: Headers
    content: bytes


_CONNECT_SECONDS = 5.0  # on the same machine, to a process that listens
#: For so long the host looks for the one answer that is due without sleeping, where another processor may work on it: to be woken
#: takes longer than a small model. (As the kernel does it for sockets: net.core.busy_read.)
POLL_SECONDS = 0.001 if (os.cpu_count() or 1) > 1 else 0.0

#: What comes of a request.
Outcome = Answer | Exception


class Connections:
    """Connections by the port of the process, each for one request at a time. Belongs to the host's event loop.

    An answer may have `max_bytes` and take `answer_seconds`; what was idle for more than `idle_seconds` is not used again.
    """

    def __init__(self, max_bytes: int, answer_seconds: float, idle_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._answer_seconds = answer_seconds
        self._idle_seconds = idle_seconds
        self._idle: dict[int, list[_Connection]] = {}
        #: Those that are asked, by when they were: the first is the first to be late.
        self._asked: dict[_Connection, float] = {}
        self._watch: asyncio.TimerHandle | None = None

    async def ask(self, port: int, method: str, target: bytes, headers: Headers, content: bytes) -> Answer:
        """Send a request for `target` to 127.0.0.1:`port`; the whole answer. Raises Ended, TooLarge and TimeoutError."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()

        def done(outcome: Outcome) -> None:
            if answered.done():  # whoever asked is gone
                return
            if isinstance(outcome, Answer):
                answered.set_result(outcome)
            else:
                answered.set_exception(outcome)

        connection = self._take(port) or await self._connect(port)
        try:
            self._ask(connection, method, target, headers, content, done)
            return await answered
        except asyncio.CancelledError:
            if answered.cancelled():  # else it is idle by now, or another's
                connection.close()
            raise

    def begin(
        self,
        port: int,
        method: str,
        target: bytes,
        headers: Headers,
        content: bytes,
        done: Callable[[Outcome], None],
    ) -> bool:
        """The same where a connection is open and idle: whether one is; `done` is called with what comes of it."""
        connection = self._take(port)
        if connection is None:
            return False
        self._ask(connection, method, target, headers, content, done)
        return True

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

    async def _connect(self, port: int) -> _Connection:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(port, self._max_bytes, self._told, self._lost), "127.0.0.1", port
                )
        except TimeoutError:
            raise Ended(f"it took no connection within {_CONNECT_SECONDS:g} s") from None
        except OSError as error:
            raise Ended(str(error)) from error
        if not connection.open:
            raise Ended("it closed the connection")
        return connection

    def _take(self, port: int) -> _Connection | None:
        """The one that was used last; if even that was idle for long, none, and all of them go."""
        idle = self._idle.get(port)
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if now - connection.idle_since > self._idle_seconds:
                connection.close()
                self._close(port)
            elif connection.open:
                return connection
        return None

    def _ask(
        self,
        connection: _Connection,
        method: str,
        target: bytes,
        headers: Headers,
        content: bytes,
        done: Callable[[Outcome], None],
    ) -> None:
        connection.ask(method, target, headers, content, done)
        now = self._asked[connection] = time.perf_counter()
        if self._watch is None:
            self._look()
        if connection.quick and len(self._asked) == 1:
            self._poll(connection, now)

    def _poll(self, connection: _Connection, since: float) -> None:
        """Have the loop go on without a pause until that request has its answer, or that takes too long for it."""
        if self._asked.get(connection) == since and time.perf_counter() < since + POLL_SECONDS:
            asyncio.get_running_loop().call_soon(self._poll, connection, since)

    def _look(self) -> None:
        """End the first request where it is late, and look again when the next may be.

        One timer does for all, as all may take as long: to set one for each takes longer than to parse its answer.
        """
        self._watch = None
        if not self._asked:
            return
        connection, since = next(iter(self._asked.items()))
        left = since + self._answer_seconds - time.perf_counter()
        # Before anybody is told, who may ask anew.
        self._watch = asyncio.get_running_loop().call_later(max(left, 0), self._look)
        if left <= 0:
            connection.fail(TimeoutError())

    def _told(self, connection: _Connection) -> None:
        """One has its answer, or none that it could be asked for another after."""
        since = self._asked.pop(connection, None)
        connection.quick = since is not None and time.perf_counter() - since < POLL_SECONDS
        if connection.reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.setdefault(connection.port, []).append(connection)
        else:
            connection.close()

    def _close(self, port: int) -> None:
        for connection in self._idle.pop(port, []):
            connection.close()

    def _lost(self, connection: _Connection) -> None:
        """A connection ended: it is not used again, and a process that is gone leaves nothing behind."""
        idle = self._idle.get(connection.port, [])
        if connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.port, None)


class _Connection(asyncio.Protocol):
    """One connection, and what is parsed of the answer on it. `reusable` once an answer is whole and another may follow."""

    def __init__(
        self,
        port: int,
        max_bytes: int,
        told: Callable[[_Connection], None],
        lost: Callable[[_Connection], None],
    ) -> None:
        self.port = port
        self.idle_since = 0.0
        self.reusable = False
        #: Whether its process answered its last request soon.
        self.quick = True
        self._max_bytes = max_bytes
        self._told = told
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head = False
        self._headers: Headers = []
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
        method: str,
        target: bytes,
        headers: Headers,
        content: bytes,
        done: Callable[[Outcome], None],
    ) -> None:
        """Send a request on an open connection; `done` is called once, with its answer, Ended, TooLarge, or that by which it is failed."""
        assert self._transport is not None
        self.reusable, self._done = False, done
        self._head = method == "HEAD"
        lines = [b"%s %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % (method.encode("ascii"), target, self.port)]
        lines += [b"%s: %s\r\n" % pair for pair in headers]
        lines.append(b"content-length: %d\r\n\r\n" % len(content))
        # One packet where the body is small.
        self._transport.write(b"".join((*lines, content)))

    def fail(self, error: Exception) -> None:
        """Nobody waits for the answer any more, if it has not come."""
        self._tell(self._outcome or error)

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
        if self._outcome is not None:
            self._tell(self._outcome)

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        self.fail(Ended(str(error) if error else "it closed the connection"))
        self._lost(self)

    # -- what httptools calls ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._outcome is not None:  # in the same packet as the answer
            self.close()
        self._headers, self._chunks, self._size = [], [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._head:  # the parser would wait for the body that the header speaks of
            self._finish(self._parser.get_status_code(), reusable=False)

    def on_body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._max_bytes:
            self._found(TooLarge())
        else:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # before it there may be others, for information
            self._finish(status, self._parser.should_keep_alive())

    def _finish(self, status: int, reusable: bool) -> None:
        if self._outcome is None:
            self._outcome = Answer(status, self._headers, b"".join(self._chunks))
            self.reusable = reusable

    def _found(self, error: Exception) -> None:
        """What is found first is what comes of the request."""
        if self._outcome is None:
            self._outcome = error

    def _tell(self, outcome: Outcome) -> None:
        done = self._done
        # An idle connection keeps no answer.
        self._outcome = self._done = None
        self._headers, self._chunks = [], []
        if done is not None:
            self._told(self)
            done(outcome)
