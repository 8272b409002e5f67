"""What comes over a socket before there is a request: one request is read as one, or as none."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from penstock_function import connection
from penstock_function.connection import MAX_HEAD, Connection

PREDICT = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def served(start: Callable[..., Any], make_package: Callable[..., Path]) -> Any:
    """A runtime process."""
    return start("--package", str(make_package()))


def said(process: Any, sent: bytes, *, end: bool = True) -> bytes:
    """All that is answered to bytes on a connection of their own, up to its end; `end` ends it on this side first."""
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as client:
        with suppress(ConnectionError):  # it may close before all is sent
            client.sendall(sent)
            if end:
                client.shutdown(socket.SHUT_WR)
        answer = bytearray()
        with suppress(ConnectionError):
            while piece := client.recv(65536):
                answer += piece
        return bytes(answer)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nContent-Length: 40\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Content-Length : 2\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
        b"Content-Length: 2\r\n folded: 1\r\n",
        b"Content-Length: 2\nX: 1\r\n",
        b"X: a\rContent-Length: 2\r\n",
        b"X: a\0b\r\nContent-Length: 2\r\n",
        b"X\r\nContent-Length: 2\r\n",
    ],
)  # fmt: skip
def test_a_head_that_can_be_read_in_two_ways_is_refused(served: Any, head: bytes) -> None:
    """A proxy before this one may read the other way, and take what follows for another caller's: it is not read at all."""
    answer = said(served, PREDICT + head + b"\r\n{}" + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"status":"ready"' not in answer


def test_a_chunk_that_lies_is_refused(served: Any) -> None:
    """What follows it is no request."""
    for chunk in (b"2;\nx\r\n{}", b"+2\r\n{}\r\n", b"2\r\n{}X\r\n", b"ffffffffffffffffff\r\n{}"):
        answer = said(served, PREDICT + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + SMUGGLED)
        assert b'"status":"ready"' not in answer


def test_a_header_cannot_bring_another_into_the_answer(served: Any, right: dict[str, Any]) -> None:
    """What of a request comes back in an answer is one header, whatever it holds."""
    body = json.dumps(right).encode()
    ids = b"X-Request-Id: a\xff%0d%0aSet-Cookie: b=c\r\n"
    answer = said(
        served, PREDICT + ids + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    head, _, _ = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"x-request-id: a\xff%0d%0aSet-Cookie: b=c" in head.split(b"\r\n")
    assert not any(line.lower().startswith(b"set-cookie") for line in head.split(b"\r\n"))


@pytest.mark.parametrize("rows", [1, 2000])
def test_who_sends_no_more_still_gets_the_answer(served: Any, right: dict[str, Any], rows: int) -> None:
    """A client may end its side once it has asked; it is answered whole, be it at once or by the thread for large bodies."""
    body = json.dumps([right] * rows).encode()
    head, _, answer = said(served, PREDICT + b"Content-Length: %d\r\n\r\n" % len(body) + body).partition(
        b"\r\n\r\n"
    )
    assert head.startswith(b"HTTP/1.1 200 ")
    assert len(json.loads(answer)["predictions"]) == rows


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health?" + b"a" * 2 * MAX_HEAD + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX: " + b"a" * 2**23 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"X: a\r\n" * 2**20 + b"\r\n",
        b"GET /health HTTP/1.1\r\n" + b"X" * 2**23,
        b"GET /" + b"a" * 2**23,
    ],
    ids=["query", "value", "many", "name", "path"],
)
def test_a_head_beyond_the_bound_is_refused(served: Any, head: bytes) -> None:
    """Long or without end: its connection is closed, and the next request is answered."""
    assert said(served, head, end=False).partition(b" ")[2][:3] in (b"400", b"")
    assert httpx.get(f"{served.url}/health", timeout=30).status_code == 200


def test_a_head_within_the_bound_is_read(served: Any) -> None:
    """In one piece, and in many."""
    head = b"GET /health HTTP/1.1\r\nConnection: close\r\nX: " + b"a" * (MAX_HEAD - 200) + b"\r\n\r\n"
    assert said(served, head).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(head), 4000):
            client.sendall(head[at : at + 4000])
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_a_body_is_no_head(served: Any, right: dict[str, Any]) -> None:
    """Though it comes with the end of one, and is large."""
    body = json.dumps([right] * 2000).encode()
    head = PREDICT + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as client:
        client.sendall(head[:20])
        served.popen.send_signal(signal.SIGSTOP)  # so that all the rest lies there when it looks again
        client.setblocking(False)
        rest, sent = head[20:] + body, 0
        with suppress(BlockingIOError):
            while sent < len(rest):
                sent += client.send(rest[sent:])
        client.settimeout(30)
        served.popen.send_signal(signal.SIGCONT)
        client.sendall(rest[sent:])
        assert client.recv(15) == b"HTTP/1.1 200 OK"


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    """A port at which an app that answers 200 listens through the protocol."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
    config.load()
    server = uvicorn.Server(config)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: Connection(config=config, server_state=server.server_state, app_state={}), "127.0.0.1", 0
    )
    async with listener:
        yield listener.sockets[0].getsockname()[1]


def answered(*pieces: bytes) -> bytes:
    """All that is answered to pieces that are sent a while after one another, up to the end: the server closes."""

    async def wait() -> bytes:
        async with listening() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for number, piece in enumerate(pieces):
                await asyncio.sleep(0.2 if number else 0)
                writer.write(piece)
            answer = await reader.read()
            writer.close()
            return answer

    return asyncio.run(asyncio.wait_for(wait(), 60))


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r\nGET"])
def test_a_head_that_stops_is_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Nothing, or a part of a request, the first or a later one: its connection is not held for ever."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    assert answered(sent).count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


def test_a_request_in_work_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is the head's: a body that comes later is not cut off by it."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    head = b"POST / HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    assert b"HTTP/1.1 200" in answered(head + b"{", b"}")


@pytest.mark.parametrize("also", [b"", b"\r\n"], ids=["nothing", "no request"])
def test_an_idle_connection_ends(monkeypatch: pytest.MonkeyPatch, also: bytes) -> None:
    """A client that is gone without a word holds it no longer, nor does what a parser passes over."""
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.5)
    assert b"HTTP/1.1 200" in answered(b"GET / HTTP/1.1\r\n\r\n", also)


def test_a_busy_connection_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is idle from its last answer on, not from its first."""
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.8)
    requests = 7
    assert answered(*requests * [b"GET / HTTP/1.1\r\n\r\n"]).count(b"HTTP/1.1 200") == requests


@pytest.mark.parametrize("rest", [(), (b"{}",)], ids=["never", "later"])
def test_a_body_after_its_answer_holds_no_connection(
    monkeypatch: pytest.MonkeyPatch, rest: tuple[bytes, ...]
) -> None:
    """The app answers before it has come, if it comes: the connection is idle all the same."""
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.5)
    head = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n"
    assert answered(b"GET / HTTP/1.1\r\n\r\n", head, *rest).count(b"HTTP/1.1 200") == 2


def test_a_request_that_lies_there_unread_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It came in time, and the process stood still past the connection's end, in the midst of reading others."""
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.2)
    request = b"GET / HTTP/1.1\r\n\r\n"

    async def wait() -> bytes:
        async with listening() as port:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(request)
                assert b"HTTP/1.1 200" in await asyncio.to_thread(client.recv, 65536)
                one, other = socket.socketpair()
                with one, other:

                    def stand_still() -> None:
                        one.recv(1)
                        client.sendall(request)
                        time.sleep(0.4)

                    asyncio.get_running_loop().add_reader(one, stand_still)
                    other.send(b"x")
                    answer = await asyncio.to_thread(client.recv, 65536)
                    asyncio.get_running_loop().remove_reader(one)
                    return answer

    assert b"HTTP/1.1 200" in uvloop.run(asyncio.wait_for(wait(), 60))


class Written(asyncio.Transport):
    """Keeps what is written, piece by piece, and whether it was closed then."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing more is given to the protocol than a test gives it."""

    resume_reading = pause_reading

    def is_closing(self) -> bool:
        return self.closed


def written(asked: bytes, *bodies: bytes) -> tuple[list[bytes], bool]:
    """What is written at once to a request that is answered with these pieces of a body; and whether the connection is closed then.

    With none, the request's own body is waited for.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not bodies:
            await receive()
        length = b"%d" % len(b"".join(bodies))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        for number, body in enumerate(bodies):
            await send({"type": "http.response.body", "body": body, "more_body": number < len(bodies) - 1})

    async def run() -> tuple[list[bytes], bool]:
        config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None)
        config.load()
        transport = Written()
        made = Connection(config=config, server_state=ServerState(), app_state={})
        made.connection_made(transport)
        made.data_received(asked)
        await asyncio.sleep(0.01)
        return transport.pieces.copy(), transport.closed

    return asyncio.run(run())


@pytest.mark.parametrize("end", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_an_answer_is_one_piece(method: bytes, end: bytes) -> None:
    """Each would be a packet; of a HEAD request the head goes out by itself, and before the connection is closed."""
    pieces, closed = written(method + b" / HTTP/1.1\r\n" + end + b"\r\n", b"answer")
    assert len(pieces) == 1
    assert pieces[0].endswith(b"\r\n\r\nanswer" if method == b"GET" else b"\r\n\r\n")
    assert closed == bool(end)


def test_an_answer_in_pieces_goes_out_as_they_come() -> None:
    """Its head with the first of them; all of them, even where one looks like a head."""
    pieces, _ = written(b"GET / HTTP/1.1\r\n\r\n", b"one", b"two", b"HTTP/1.1 200", b"three")
    assert pieces[0].endswith(b"\r\n\r\none")
    assert pieces[1] == b"two"
    assert b"".join(pieces[2:]) == b"HTTP/1.1 200three"


def test_word_that_a_body_may_be_sent_goes_out_at_once() -> None:
    """Whoever waits for it would wait for ever."""
    pieces, _ = written(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_a_caller_that_is_busy_when_the_function_ends_loses_no_request(
    served: Any, right: dict[str, Any]
) -> None:
    """Its next request is answered, with word that it was the last; a connection that has long been idle ends at once."""
    asked = httpx.Client(base_url=served.url, timeout=20)
    idle = socket.create_connection(("127.0.0.1", served.port), timeout=20)
    assert asked.post("/predict", json=right).headers.get("connection") != "close"
    served.popen.send_signal(signal.SIGTERM)
    assert idle.recv(1) == b""
    last = asked.post("/predict", json=right)
    assert (last.status_code, last.headers["connection"]) == (200, "close")
    with pytest.raises(httpx.ConnectError):
        asked.post("/predict", json=right)
    assert served.popen.wait(10) == 0


def test_a_busy_caller_that_asks_no_more_does_not_hold_the_function(
    served: Any, right: dict[str, Any]
) -> None:
    """It ends a second later, well before what is in hand must be answered."""
    asked = httpx.Client(base_url=served.url, timeout=20)
    asked.post("/predict", json=right)
    served.popen.send_signal(signal.SIGTERM)
    assert served.popen.wait(5) == 0
