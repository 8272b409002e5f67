"""Requests that are answered whole, past ASGI: which are shown, that each is answered once and in turn, and as it would be else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from penstock_function import connection
from penstock_function.app import build
from penstock_function.connection import Connection
from penstock_function.whole import Headers, Whole
from tests.images.function.conftest import CARRIERS, Client
from tests.images.function.test_connection import Written
from tests.images.function.test_fuzz import scalars
from tests.whole import Asked

POST = b"POST /p?a=1 HTTP/1.1\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n{}"
END = b"POST /p HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


class App:
    """Takes what it `takes`, keeps it, and answers what comes by ASGI with the body that it was sent."""

    def __init__(self, *, takes: bool) -> None:
        self.takes = takes
        self.fails = False
        self.taken: list[Whole] = []

    def take(self, asked: Whole) -> bool:
        """Kept, so that a test can answer it."""
        if self.fails:
            raise RuntimeError("it fails")
        if self.takes:
            self.taken.append(asked)
        return self.takes

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            body += message.get("body", b"")
        names = b",".join(name for name, _ in scope["headers"])
        said = b"%s %s %s" % (scope["raw_path"], names, body)
        length = (b"content-length", b"%d" % len(said))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": said})


def on_a_connection(
    what: Callable[[Connection, Written, App], Awaitable[None]], *, takes: bool = True
) -> None:
    """Have something happen on one, to an app that takes all that it is shown, or nothing."""

    async def run() -> None:
        app = App(takes=takes)
        config = uvicorn.Config(app, http=Connection, lifespan="off", log_config=None, proxy_headers=False)
        config.load()
        transport = Written()
        made = Connection(config=config, server_state=ServerState(), app_state={})
        made.connection_made(transport)
        await what(made, transport, app)

    asyncio.run(asyncio.wait_for(run(), 20))


async def until(true: Callable[[], object]) -> None:
    while not true():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("at", [len(POST), len(POST) - 2, len(POST) - 1, 9])
def test_it_is_shown_whole(at: int) -> None:
    """In one piece, or in two as most clients in Python send it; what is answered goes out as one, and the next one is shown too."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        for number in range(2):
            for piece in filter(None, (POST[:at], POST[at:])):
                made.data_received(piece)
            asked = app.taken[number]
            assert (asked.target, asked.body) == (b"/p?a=1", b"{}")
            assert list(asked.headers) == [(b"x-a", b"1"), (b"content-length", b"2")]
            asked.answer(201, [(b"content-length", b"2"), (b"x-b", b"2")], b"ok")
            assert asked.body == b"", "an idle connection keeps none"
        assert transport.pieces == 2 * [b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nx-b: 2\r\n\r\nok"]
        assert not transport.closed

    on_a_connection(happens)


@pytest.mark.parametrize("at", [len(POST), len(POST) - 1])
def test_what_is_not_taken_comes_as_ever(at: int) -> None:
    """To the app by ASGI, with all that it was."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        for piece in filter(None, (POST[:at], POST[at:])):
            made.data_received(piece)
        await until(lambda: transport.pieces)
        assert transport.pieces[0].endswith(b"\r\n\r\n/p x-a,content-length {}")

    on_a_connection(happens, takes=False)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /p HTTP/1.1\r\n\r\n",
        POST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        POST.replace(b"X-A: 1", b"Expect: 100-continue"),
    ],
)
def test_what_is_not_shown(sent: bytes) -> None:
    """What a server must do more for than answer."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(sent)
        await until(lambda: any(b" 200 " in piece for piece in transport.pieces))
        assert app.taken == []

    on_a_connection(happens)


def test_a_target_that_is_no_path_is_refused_as_ever() -> None:
    """At once, and not only once its body has come, which may be never."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(POST[:-2].replace(b"/p?a=1", b"http://a"))
        assert transport.pieces[0].startswith(b"HTTP/1.1 400 ")
        assert transport.closed

    on_a_connection(happens)


def test_trailers_are_no_headers() -> None:
    """A key or a name of a caller is none there (RFC 9110, 6.5.1); and like a head they are bounded, as is what stands beside a chunk."""
    chunked = POST[:-2].replace(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n"

    async def happens(made: Connection, transport: Written, app: App) -> None:
        for sent in (b"0\r\nX-Key: a\r\n\r\n", b""):
            made.data_received(chunked + sent)
        assert list(app.taken[0].headers) == [(b"x-a", b"1"), (b"transfer-encoding", b"chunked")]
        app.taken[0].answer(200, [(b"content-length", b"0")], b"")
        await asyncio.sleep(0.01)
        made.data_received(b"0\r\nX-Key: ")
        for _ in range(16):
            assert not transport.closed
            made.data_received(b"a" * 4096)
        assert transport.closed

    on_a_connection(happens)


@pytest.mark.parametrize("pieces", [[POST[:-2]], [POST[:-2], POST[-2:-1]]], ids=["late", "bit by bit"])
def test_a_body_that_takes_its_time_is_the_apps(pieces: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has bounds for that; it gets the whole."""
    monkeypatch.setattr(connection, "REST_SECONDS", 0.01 if len(pieces) == 1 else 60.0)

    async def happens(made: Connection, transport: Written, app: App) -> None:
        for piece in pieces:
            made.data_received(piece)
        await until(lambda: made.cycle is not None)
        made.data_received(POST[len(b"".join(pieces)) :])
        await until(lambda: transport.pieces)
        assert transport.pieces[0].endswith(b"\r\n\r\n/p x-a,content-length {}")
        assert app.taken == []

    on_a_connection(happens)


@pytest.mark.parametrize("length", [b"Content-Length: 65537", b"Transfer-Encoding: chunked"])
def test_a_large_body_is_not_waited_for(length: bytes) -> None:
    """The app may refuse it before it comes; nor is one in chunks, of which nobody knows how many there are."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(POST[:-2].replace(b"Content-Length: 2", length))
        assert made.cycle is not None
        assert app.taken == []

    on_a_connection(happens)


def test_requests_in_one_piece_are_answered_in_turn() -> None:
    """The second waits for the answer of the first, whoever answers which."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(POST + POST + POST[:-1])
        await asyncio.sleep(0.02)
        (asked,) = app.taken
        assert transport.pieces == []
        asked.answer(200, [(b"content-length", b"5")], b"first")
        await until(lambda: len(transport.pieces) == 2)
        assert transport.pieces[0].endswith(b"first")
        assert transport.pieces[1].endswith(b" {}")
        made.data_received(POST[-1:])
        await until(lambda: len(transport.pieces) == 3)

    on_a_connection(happens)


@pytest.mark.parametrize(
    ("sent", "meanwhile"),
    [(END, lambda _: None), (POST, Connection.eof_received), (POST, Connection.shutdown)],
    ids=["asked for", "half closed", "server ends"],
)
def test_the_last_answer_on_a_connection_says_so(
    sent: bytes, meanwhile: Callable[[Connection], object]
) -> None:
    """Where its client wants that, has ended its side, or the server is told to end meanwhile: an answer that is owed is given."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(sent)
        meanwhile(made)
        assert not transport.closed
        app.taken[0].answer(200, [(b"content-length", b"2")], b"ok")
        (answer,) = transport.pieces
        assert b"\r\nconnection: close\r\n" in answer
        assert transport.closed

    on_a_connection(happens)


def test_an_app_that_fails_is_not_the_clients_fault(caplog: pytest.LogCaptureFixture) -> None:
    """500, the connection ends, and the log has why."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        app.fails = True
        made.data_received(POST + POST)
        (answer,) = transport.pieces
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.count(b"connection: close") == 1
        assert transport.closed

    on_a_connection(happens)
    assert "it fails" in caplog.text


def test_a_status_without_a_name() -> None:
    """Is passed on as it is."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(POST)
        app.taken[0].answer(799, [(b"content-length", b"0")], b"")
        assert transport.pieces == [b"HTTP/1.1 799 \r\ncontent-length: 0\r\n\r\n"]

    on_a_connection(happens)


def test_a_server_that_ends_answers_what_has_half_come() -> None:
    """A body on its way is no idle connection."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(POST[:-1])
        made.shutdown()
        assert not transport.closed
        made.data_received(POST[-1:])
        await until(lambda: transport.closed)
        assert transport.pieces[0].endswith(b" {}")

    on_a_connection(happens)


def test_a_client_that_ends_before_its_body_is_the_apps() -> None:
    """Which is told that it is gone, and counts that."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(POST[:-1])
        assert made.cycle is None
        assert not made.eof_received()
        assert made.cycle is not None

    on_a_connection(happens)


@pytest.mark.parametrize("lost", [True, False])
def test_nothing_is_written_to_a_client_that_is_gone(lost: bool) -> None:
    """Be it known already, or not yet."""

    async def happens(made: Connection, transport: Written, app: App) -> None:
        made.data_received(POST)
        transport.close()
        if lost:
            made.connection_lost(None)
        app.taken[0].answer(200, [(b"content-length", b"2")], b"ok")
        assert transport.pieces == []

    on_a_connection(happens)


# -- the function's ---------------------------------------------------------------------------------------------------


def answered_whole(client: Client, body: bytes, headers: Headers = ()) -> httpx.Response | None:
    """The answer past ASGI; None where it is not taken."""

    async def ask() -> httpx.Response | None:
        asked = Asked(b"/predict", headers, body)
        if not build(client.service).take(cast(Whole, asked)):
            return None
        status, given, content = await asked.answered()
        return httpx.Response(status, headers=given, content=content)

    return asyncio.run(ask())


VALUES = scalars | st.sampled_from(sorted(CARRIERS))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    changes=st.dictionaries(
        st.sampled_from(["carrier", "distance", "month", "seats", "other"]), VALUES, max_size=2
    )
)
def test_an_answer_is_what_it_is_by_asgi(client: Any, right: dict[str, Any], changes: dict[str, Any]) -> None:
    """Status, headers and body, for records of every kind; what is not taken is none that is answered with 200 by its usual way."""
    body = json.dumps({**right, **changes}).encode()
    headers = [(b"x-request-id", b"a-1"), (b"traceparent", b"00-1"), (b"x-other", b"b")]
    whole = answered_whole(client, body, headers)
    by_asgi = client.post("/predict", content=body, headers=headers)
    if whole is None:
        assert by_asgi.status_code in (200, 400, 422)
    else:
        assert (whole.status_code, whole.content) == (by_asgi.status_code, by_asgi.content)
        assert whole.headers.multi_items() == by_asgi.headers.multi_items()


def test_the_usual_record_is_taken(client: Any, right: dict[str, Any]) -> None:
    """And counted, and not one that is larger than what is scored where it arrives, or no record."""
    body = json.dumps(right).encode()
    before = client.get("/metrics").text
    answer = answered_whole(client, body)
    assert answer is not None
    assert answer.status_code == 200
    assert client.get("/metrics").text != before
    assert answered_whole(client, json.dumps([right]).encode()) is None
    assert answered_whole(client, body + b" " * 2**16) is None
    assert answered_whole(client, b"{") is None


def test_a_model_that_fails_is_a_500(
    client: Any, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past ASGI, too; and it goes on serving."""

    def fails(*_: object) -> None:
        raise RuntimeError("it fails")

    body = json.dumps(right).encode()
    with monkeypatch.context() as broken:
        broken.setattr(client.service._plain, "answer", fails)
        answer = answered_whole(client, body)
    assert answer is not None
    assert (answer.status_code, answer.json()) == (500, {"error": "the model failed: RuntimeError"})
    answer = answered_whole(client, body)
    assert answer is not None
    assert answer.status_code == 200
