"""What passes between a caller and a function, and what does not.

The function here is a socket that records what it is sent and answers as it is told, so that the bytes on the
wire can be judged and answers given that no sound runtime gives. With real runtimes the proxy is tested in the
rest of this folder.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from penstock.host.background import Background
from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.limits import Limits
from penstock.host.proxy import Proxy
from penstock.host.whole import parts_of
from tests.whole import Asked

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Leased:
    """What the proxy needs of a runner."""

    revision = "v1-0123456789ab"
    retry_after = 7

    def __init__(self, port: int) -> None:
        self.port = port
        self.used = 0.0
        self.answers = 0
        self.in_flight = 0

    def came(self) -> None:
        """One more."""
        self.in_flight += 1

    def went(self) -> None:
        """One less."""
        self.in_flight -= 1


class OneFunction:
    """What the proxy needs of the functions."""

    def __init__(self, port: int) -> None:
        self.runner = Leased(port)

    def ready(self, name: str) -> Leased:
        """It is."""
        return self.runner

    def rolling(self, name: str) -> None:
        """It has no rollout."""

    @asynccontextmanager
    async def lease(self, name: str, revision: str | None, *, use: bool) -> AsyncIterator[Leased]:
        """The one there is."""
        yield self.runner


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def says(content: bytes) -> Answer:
    """Answers with these bytes, then closes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return answer


def request(
    headers: list[tuple[str, str]] | None = None,
    *chunks: bytes,
    method: str = "POST",
    query: bytes = b"",
    pause: float = 0.0,
) -> Request:
    """A request as the server hands it on, its body in `chunks`, each after a `pause`."""
    left = list(chunks) or [b""]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    raw = [(name.lower().encode(), value.encode()) for name, value in headers or []]
    scope = {"type": "http", "method": method, "path": "/", "query_string": query, "headers": raw}
    return Request(scope, receive)


def take(
    headers: list[tuple[bytes, bytes]], body: bytes, answer: Answer, limits: Limits
) -> tuple[tuple[int, list[tuple[bytes, bytes]], bytes], bytes]:
    """The same for one that came whole, once a connection is open: until then it is not taken."""
    seen = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for says_so in (says(OK), answer):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            seen.append(head + await reader.readexactly(size))
            await says_so(writer)
        writer.close()

    async def talk() -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        functions = OneFunction(server.sockets[0].getsockname()[1])
        proxy = Proxy(cast(Functions, functions), limits, Background())
        asked = Asked(b"/functions/shift/predict", headers, body)

        def is_taken() -> bool:
            assert proxy.would_take("shift", body) == (functions.runner.answers > 0)
            return proxy.take(
                "shift", headers, body, asked.answer, lambda error: asked.answer(*parts_of(error.response()))
            )

        try:
            assert not is_taken()
            await proxy.forward("shift", "predict", request())
            functions.runner.answers += 1
            assert is_taken()
            assert functions.runner.in_flight == 1
            answered = await asked.answered()
            assert functions.runner.in_flight == 0
            return answered
        finally:
            proxy.close()
            server.close()

    return asyncio.run(talk()), seen[-1]


ID = re.compile(rb"x-request-id: [0-9a-f]{32}\r\n|host: 127.0.0.1:\d+\r\n")


def forward(given: Request, answer: Answer, limits: Limits | None = None) -> tuple[Response, bytes]:
    """The proxy's answer to a request, and the bytes that the function was sent; alike for one that came whole."""
    limits, headers = limits or Limits(), list(given.headers.raw)
    try:
        response, seen = by_asgi(given, answer, limits)
    except HostError as error:
        whole = take(headers, b"", answer, limits)[0] if error.status in (502, 503, 504) else None
        if whole not in (None, parts_of(error.response())):
            raise AssertionError(whole) from error
        raise
    if not given.scope["query_string"]:
        whole, also = take(headers, seen.partition(b"\r\n\r\n")[2], answer, limits)
        assert whole == parts_of(response)
        assert ID.sub(b"", also) == ID.sub(b"", seen)
    return response, seen


def by_asgi(given: Request, answer: Answer, limits: Limits) -> tuple[Response, bytes]:
    seen = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readuntil(b"\r\n\r\n"))
        head = seen.lower()
        if b"content-length: " in head:
            seen.extend(await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0])))
        await answer(writer)
        writer.close()

    async def talk() -> Response:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        proxy = Proxy(cast(Functions, OneFunction(port)), limits, Background())
        try:
            return await proxy.forward("shift", "predict", given)
        finally:
            proxy.close()
            server.close()

    return asyncio.run(talk()), bytes(seen)


def test_a_request_arrives_as_it_was_sent() -> None:
    """Method, path, query, body and the caller's own headers are passed on; the answer says which revision gave it."""
    given = request(
        [("Content-Type", "application/json"), ("X-Trace", "1")], b'{"x"', b": 1}", query=b"a=%2F&b="
    )
    response, seen = forward(given, says(OK))
    head, _, body = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /predict?a=%2F&b= HTTP/1.1\r\n")
    assert b"content-type: application/json" in head.lower()
    assert b"x-trace: 1" in head.lower()
    assert body == b'{"x": 1}'
    assert re.search(rb"x-request-id: [0-9a-f]{32}\r\n", head.lower()), "one of ours, as it has none"
    assert (response.status_code, response.body) == (200, b"ok")
    assert response.headers["x-penstock-revision"] == "v1-0123456789ab"


def test_an_id_of_the_callers_own_stays() -> None:
    """No other one is given beside it."""
    _, seen = forward(request([("X-Request-Id", "order-1234")]), says(OK))
    assert re.findall(rb"x-request-id: (.*)\r\n", seen.lower()) == [b"order-1234"]


def test_what_belongs_to_one_connection_is_not_passed_on() -> None:
    """Hop-by-hop headers, those that Connection names, and credentials reach the function as little as the host's name."""
    headers = [
        ("Host", "127.0.0.1:1"),
        ("Connection", "keep-alive, X-Private"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
        ("Proxy-Authorization", "Basic secret"),
        ("Authorization", "Bearer secret"),
        ("Cookie", "session=secret"),
        ("X-Private", "secret"),
        ("Transfer-Encoding", "chunked"),
    ]
    _, seen = forward(request(headers, b"{}"), says(OK))
    head = seen.lower()
    assert b"secret" not in head
    for name in (b"keep-alive", b"te:", b"upgrade", b"transfer-encoding", b"host: 127.0.0.1:1\r"):
        assert name not in head


def test_the_answer_is_cleaned_likewise() -> None:
    """Of the function's headers those of its own connection are dropped; repeated ones stay repeated."""
    answer = (
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nConnection: X-Inner\r\nX-Inner: 1\r\n"
        b"Keep-Alive: timeout=5\r\nDate: now\r\nServer: inner\r\nVary: a\r\nVary: b\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    response, _ = forward(request(), says(answer))
    assert response.status_code == 201
    assert response.body == b"ok"
    assert sorted(response.raw_headers) == [
        (b"content-length", b"2"),
        (b"vary", b"a"),
        (b"vary", b"b"),
        (b"x-penstock-revision", b"v1-0123456789ab"),
    ]


def test_a_compressed_answer_stays_compressed() -> None:
    """Its bytes are not touched, so its Content-Encoding still holds."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    response, seen = forward(request([("Accept-Encoding", "gzip")]), says(answer))
    assert b"accept-encoding: gzip\r\n" in seen.lower()
    assert response.headers["content-encoding"] == "gzip"
    assert response.body == b"\x1f\x8b\x08\x00"


@pytest.mark.parametrize(
    "given",
    [lambda: request([("Content-Length", "101")], b""), lambda: request(None, b"x" * 60, b"x" * 60)],
    ids=["as declared", "as it came"],
)
def test_a_body_too_large(given: Callable[[], Request]) -> None:
    """413 before the function hears of it, whether the size was declared or not."""
    with pytest.raises(HostError, match="more than 100 bytes") as caught:
        forward(given(), says(OK), Limits(request_bytes=100))
    assert caught.value.status == 413


def test_a_body_that_does_not_come() -> None:
    """408, so that a slow sender holds nothing for ever."""
    with pytest.raises(HostError, match="did not arrive") as caught:
        forward(request(None, b"a", b"b", pause=0.2), says(OK), Limits(body_seconds=0.1))
    assert caught.value.status == 408


def test_an_answer_too_large() -> None:
    """502 instead of the host's memory."""
    with pytest.raises(HostError, match="more than 1000 bytes") as caught:
        forward(
            request(),
            says(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bytes(5000)),
            Limits(response_bytes=1000),
        )
    assert caught.value.status == 502


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"], ids=["nothing", "half"]
)
def test_a_function_that_hangs(said: bytes) -> None:
    """504, also when it stops in the middle of its answer."""

    async def hang(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await asyncio.sleep(5)

    with pytest.raises(HostError, match=r"did not answer within 0\.2 s") as caught:
        forward(request(), hang, Limits(answer_seconds=0.2))
    assert caught.value.status == 504


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"garbage\r\n\r\n"],
    ids=["closed", "cut off", "no HTTP"],
)
def test_a_function_that_ends_before_it_answered(said: bytes) -> None:
    """503 with Retry-After: it is being started again."""
    with pytest.raises(HostError, match="ended before it answered") as caught:
        forward(request(), says(said))
    assert (caught.value.status, caught.value.retry_after) == (503, 7)


def test_a_function_that_is_gone() -> None:
    """A refused connection is 503 as well."""

    async def talk() -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        proxy = Proxy(cast(Functions, OneFunction(port)), Limits(), Background())
        try:
            await proxy.forward("shift", "predict", request())
        finally:
            proxy.close()

    with pytest.raises(HostError, match="ended before it answered") as caught:
        asyncio.run(talk())
    assert caught.value.status == 503
