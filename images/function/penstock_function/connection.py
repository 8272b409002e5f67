"""One connection: the head of each request has bounds in size and time, which the server itself does not set.

A head without end would take memory without end, and one that stops would hold its connection for ever. An idle connection ends before
its client knows, and a request on its way is lost: so it stays for longer than clients keep it. And when the server is told
to end, a caller that keeps its connection busy is answered once more, and told that it was the last time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 2**10  # bytes of target and headers; other servers and proxies stop at 8 to 32 KiB
HEAD_SECONDS = 30.0  # as long as a body may take
IDLE_SECONDS = 75  # longer than proxies and clients keep one: that they end it loses no request
_LOOK_SECONDS = 0.01  # until what lies there unread has been read
BUSY_SECONDS = 1.0  # since an answer: its caller may be sending the next request at this moment


class Connection(HttpToolsProtocol):
    """uvicorn's own protocol with these bounds: what is larger gets a 400, and is closed as what is later is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = False
        self._head = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._answered = -BUSY_SECONDS
        self._ending = False
        self.timeout_keep_alive = IDLE_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is waited for."""
        super().connection_made(transport)
        self._answers = _InOnePiece(transport)
        self.transport = self._answers  # type: ignore[assignment] # it has all that uvicorn calls
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._have_head()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has sent all may still read: what it asked for is answered before the connection ends."""
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Pieces of a head are counted but for the first, which may have been the end of another request."""
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.send_400_response(f"The head of a request has more than {MAX_HEAD} bytes.")
                return
        super().data_received(data)
        # Most heads come in one piece, and cost no timer.
        if self._in_head and self._deadline is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head, self._head = True, 0

    def on_headers_complete(self) -> None:
        """The head is whole. Raises ValueError, which the server answers with a 400, where it is too large."""
        self._in_head = False
        self._have_head()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            raise ValueError("the head is too large")
        super().on_headers_complete()
        if self._ending and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """When that was is noted."""
        self._answers.flush()
        super().on_response_complete()
        self._answered = self.loop.time()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection ends, but for one whose next request lies there unread, as the machine was busy: that is looked for first."""
        ended = super().timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(_LOOK_SECONDS, ended)

    def shutdown(self) -> None:
        """An idle connection ends at once, a busy one with its next answer, or when it has become idle."""
        self._ending = True
        if self.loop.time() < self._answered + BUSY_SECONDS:
            self.loop.call_later(BUSY_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _have_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _InOnePiece:
    """A transport that keeps the head of an answer back until the rest of it comes, which is at once.

    The server writes them one after the other, and each write is a packet and a call of the system, here and where it is read.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data  # unlike 100 Continue, after which the client is to send more
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Where an answer has no more than its head."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()
