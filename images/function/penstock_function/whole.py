"""A request that is whole, answered in one piece: no task, no event and no message of ASGI's is made for it.

An ASGI app that has a method `take(Whole) -> bool` is shown each of them first (`penstock_function.connection`). What it takes it
answers, at once or later; what it does not take comes to it as ever. For a small model the server is most of the work otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock_function.connection import Connection

Headers = Sequence[tuple[bytes, bytes]]

_LINES = {each.value: b"HTTP/1.1 %d %s\r\n" % (each, each.phrase.encode()) for each in HTTPStatus}


class Whole:
    """A POST request, names of its headers in lower case.

    For uvicorn it is what stands for a request and its answer, its `RequestResponseCycle`: so it has that one's state.
    """

    more_body = False
    #: For uvicorn to set, once the client is gone: nobody waits for it.
    message_event = asyncio.Event()

    def __init__(
        self, connection: Connection, target: bytes, headers: Headers, body: bytes, *, keep_alive: bool
    ) -> None:
        self.target = target
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self._connection = connection

    @property
    def port(self) -> int | None:
        """Of the server, that it came to."""
        return self._connection.server[1] if self._connection.server else None

    @property
    def client(self) -> tuple[str, int] | None:
        """The address that it came from."""
        return self._connection.client

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the answer, once, if its client is still there; its length is among the headers, and maybe that it is the last."""
        self.response_complete = True
        self.body = b""  # the connection keeps this until its next request
        connection = self._connection
        if self.disconnected or connection.transport.is_closing():
            return
        lines = [_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        lines += [b"%s: %s\r\n" % pair for pair in (*connection.server_state.default_headers, *headers)]
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += [b"\r\n", body]
        connection.answer(b"".join(lines), last=not self.keep_alive)


Take = Callable[[Whole], bool]
