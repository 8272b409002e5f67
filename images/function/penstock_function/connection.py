"""One connection: the head of each request has bounds in size and time, which the server itself does not set.

A head without end would take memory without end, and one that stops would hold its connection for ever. An idle connection ends before
its client knows, and a request on its way is lost: so it stays for longer than clients keep it. And when the server is told
to end, a caller that keeps its connection busy is answered once more, and told that it was the last time.

An app that can answer a request without ASGI is shown those that are whole first (`penstock_function.whole`).
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock_function.whole import Take, Whole

MAX_HEAD = 64 * 2**10  # bytes of target and headers; other servers and proxies stop at 8 to 32 KiB
HEAD_SECONDS = 30.0  # as long as a body may take
IDLE_SECONDS = 75  # longer than proxies and clients keep one: that they end it loses no request
_LOOK_SECONDS = 0.01  # until what lies there unread has been read
REST_SECONDS = (
    0.005  # that a request waits for its body, which most clients write at once, before it is begun
)
MAX_REST = 64 * 2**10  # of such a body: what is larger may be refused before it comes
BUSY_SECONDS = 1.0  # since an answer: its caller may be sending the next request at this moment


class Connection(HttpToolsProtocol):
    """uvicorn's own protocol with these bounds: what is larger gets a 400, and is closed as what is later is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = self._in_request = False
        #: Bytes that came last; that came with the beginning of a head; and since then, or since a piece of a body.
        self._piece = self._first = self._head = 0
        #: Those of a request, to which a trailer adds nothing.
        self._headers: list[tuple[bytes, bytes]] = []
        self._deadline: asyncio.TimerHandle | None = None
        self._answered = -BUSY_SECONDS
        self._ending = False
        self.timeout_keep_alive = IDLE_SECONDS
        self._take: Take | None = getattr(self.config.loaded_app, "take", None)
        #: What has come of the body of a request that is not begun, as it may be taken whole.
        self._held: list[bytes] | None = None
        self._rest: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is waited for."""
        super().connection_made(transport)
        self._send = transport.write
        self._answers = _InOnePiece(transport)
        self.transport = self._answers  # type: ignore[assignment] # it has all that uvicorn calls
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        super()._unset_keepalive_if_required()
        self._have_head()
        self._have_rest()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that has sent all may still read: what it asked for is answered before the connection ends."""
        if self._held is not None:
            self._begin_late()
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Pieces of a head are counted but for the first, which may have been the end of another request; so is what is no body."""
        self._piece = len(data)
        if self._in_request:
            self._head += self._piece
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_request and self._head > MAX_HEAD:
            self.send_400_response(f"The head of a request has more than {MAX_HEAD} bytes.")
            return
        if self._held is not None:
            self._await_rest()
        # Most heads come in one piece, and cost no timer.
        if self._in_head and self._deadline is None:
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins. What uvicorn makes ready for it is made where the app is called."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._in_head, self._in_request, self._first, self._head = True, True, self._piece, 0

    def on_headers_complete(self) -> None:
        """The head is whole. Raises ValueError, which the server answers with a 400, where it is too large."""
        self._in_head = False
        self._have_head()
        # It may be no more than a part of what it came in, but not more than that.
        if self._first + self._head > MAX_HEAD and self._size() > MAX_HEAD:
            raise ValueError("the head is too large")
        self._head, self._headers, self.headers = 0, self.headers, []
        if self._may_be_taken():
            self._held = []
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._head = 0
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_request = False
        if self._held is not None:
            if self._is_taken(self._held):
                return
            self._begin_late()
        super().on_message_complete()

    def answer(self, whole: bytes, *, last: bool) -> None:
        """Send the answer to what was taken, as a whole; after the `last` the connection ends."""
        self._send(whole)
        if last:
            self.transport.close()
        self._next()

    def on_response_complete(self) -> None:
        """uvicorn has answered."""
        self._answers.flush()
        self._next()

    def _next(self) -> None:
        """The next request is waited for, or begun if it is there. When that was is noted."""
        self._answered = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.flow.resume_reading()

    def _unset_keepalive_if_required(self) -> None:
        """One timer does for all requests of a connection: to set one for each takes longer than to parse it."""

    def timeout_keep_alive_handler(self, looked: bool = False) -> None:
        """An idle connection ends, but for one whose next request lies there unread, as the machine was busy: that is looked for first."""
        self.timeout_keep_alive_task = None
        if self._in_head or self._held is not None or not self.cycle.response_complete:
            return  # it is set again with the answer
        left = self._answered + self.timeout_keep_alive - self.loop.time()
        if left <= 0 and looked:
            super().timeout_keep_alive_handler()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(
                max(left, _LOOK_SECONDS), self.timeout_keep_alive_handler, left <= 0
            )

    def shutdown(self) -> None:
        """An idle connection ends at once, a busy one with its next answer, or when it has become idle."""
        self._ending = True
        if self.loop.time() < self._answered + BUSY_SECONDS:
            self.loop.call_later(BUSY_SECONDS, self._shut_down)
        else:
            self._shut_down()

    def _shut_down(self) -> None:
        if self._held is not None:  # it is answered, as any that is in work
            self._begin_late()
        super().shutdown()

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _length(self) -> float:
        """Of the body, as the head has it, which the parser has checked; without end where it comes in chunks."""
        return next((int(value) for name, value in self._headers if name == b"content-length"), math.inf)

    def _may_be_taken(self) -> bool:
        """Whether it is asked in the usual way, and nothing of before is still to be answered, or to be read by the client.

        Of a target that is no path uvicorn may make nothing, and what it says to that must be said while it parses.
        """
        return (
            self._take is not None
            and self.url.startswith(b"/")
            and (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _is_taken(self, held: list[bytes]) -> bool:
        keep_alive = self.parser.should_keep_alive() and not self._ending
        whole = Whole(self, self.url, self._headers, b"".join(held), keep_alive=keep_alive)
        assert self._take is not None
        try:
            taken = self._take(whole)
        except Exception as error:  # the app's fault, and not the client's, as which the parser would have it
            self.logger.error("Exception in ASGI application", exc_info=error)
            whole.answer(500, [(b"content-length", b"0"), (b"connection", b"close")], b"")
            taken = True
        if taken:
            self.cycle = whole  # type: ignore[assignment] # it has all that uvicorn asks of one
            self._have_rest()
        return taken

    def _begin(self) -> None:
        """Have the app called, as uvicorn does."""
        url, expected = self.url, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expected
        self.scope["headers"] = self._headers
        super().on_headers_complete()
        if self._ending and self.cycle is not None:
            self.cycle.keep_alive = False

    def _begin_late(self) -> None:
        """The same, with what has come of the body."""
        held = self._held or ()
        self._have_rest()
        self._begin()
        for piece in held:
            super().on_body(piece)

    def _await_rest(self) -> None:
        """A body that comes apart from its head is small and comes with the next piece, and soon, or the request is one for ASGI."""
        if self._rest is None and self._length() <= MAX_REST:
            self._rest = self.loop.call_later(REST_SECONDS, self._begin_late)
        else:
            self._begin_late()

    def _have_rest(self) -> None:
        self._held = None
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

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
        if self.is_closing():  # the client is gone
            return
        if self._head:
            self._transport.write(self._head + data)
            self._head = b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data  # unlike 100 Continue, after which the client is to send more
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Where an answer has no more than its head."""
        if self._head and not self.is_closing():
            self._transport.write(self._head)
        self._head = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()
