"""The host's own HTTP client: when a connection is used again, and when it must not be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.host import upstream
from penstock.host.upstream import Answer, Connections, Ended, TooLarge

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers the requests of each connection by what is left of `answers`; None closes it unanswered."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self.pause = 0.0
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                answer = self.answers.pop(0)
                await asyncio.sleep(self.pause)
                if answer is None:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            writer.close()


Scenario = Callable[[Server, Connections], Awaitable[None]]


def play(
    scenario: Scenario,
    *answers: bytes | None,
    answer_seconds: float = 20.0,
    idle_seconds: float = 3.0,
) -> None:
    """Run a scenario against a server that answers so."""

    async def run() -> None:
        there = Server(*answers)
        server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
        there.port = server.sockets[0].getsockname()[1]
        connections = Connections(1000, answer_seconds, idle_seconds)
        try:
            async with asyncio.timeout(20):
                await scenario(there, connections)
        finally:
            connections.close()
            server.close()
            await asyncio.sleep(0.01)  # the other ends see it

    asyncio.run(run())


async def ask(server: Server, connections: Connections, method: str = "POST", body: bytes = b"{}") -> Answer:
    return await connections.ask(server.port, method, b"/predict", [(b"x-trace", b"1")], body)


def test_a_connection_is_used_again() -> None:
    """One after another go over one connection, whatever the answer's framing; those at once over one each."""

    async def scenario(server: Server, connections: Connections) -> None:
        assert (await ask(server, connections)).content == b"ok"
        assert (await ask(server, connections)).content == b"chunked"
        assert (await ask(server, connections, "GET", b"")).status == 204
        assert server.connections == 1
        assert server.requests[0].split(b"\r\n")[0] == b"POST /predict HTTP/1.1"
        await asyncio.gather(*(ask(server, connections) for _ in range(3)))
        assert server.connections == 3

    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nchun\r\n3\r\nked\r\n0\r\n\r\n"
    play(scenario, OK, chunked, b"HTTP/1.1 204 No Content\r\n\r\n", OK, OK, OK)


def test_what_comes_before_an_answer() -> None:
    """An answer for information is none yet."""

    async def scenario(server: Server, connections: Connections) -> None:
        answer = await ask(server, connections)
        assert (answer.status, answer.headers, answer.content) == (200, [(b"content-length", b"2")], b"ok")

    play(scenario, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)


def test_an_answer_without_its_body() -> None:
    """HEAD has the length of a body that does not follow."""

    async def scenario(server: Server, connections: Connections) -> None:
        answer = await ask(server, connections, "HEAD", b"")
        assert (answer.status, answer.content) == (200, b"")
        assert (await ask(server, connections)).content == b"ok"
        assert server.connections == 2

    play(scenario, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", OK)


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", OK + OK],
    ids=["told so", "more than was asked for"],
)
def test_a_connection_that_is_not_used_again(first: bytes) -> None:
    """One that is to be closed, and one on which something came that nobody asked for: it belongs to no request."""

    async def scenario(server: Server, connections: Connections) -> None:
        assert (await ask(server, connections)).content == b"ok"
        await asyncio.sleep(0.05)
        assert (await ask(server, connections)).content == b"ok"
        assert server.connections == 2

    play(scenario, first, OK)


def test_a_connection_that_was_idle_too_long() -> None:
    """The process may be closing it at this very moment."""

    async def scenario(server: Server, connections: Connections) -> None:
        await ask(server, connections)
        await asyncio.sleep(0.05)
        await ask(server, connections)
        assert server.connections == 2

    play(scenario, OK, OK, idle_seconds=0.01)


def test_whoever_gives_up_ends_the_connection() -> None:
    """So that the answer to come is not taken for that of the next request."""

    async def scenario(server: Server, connections: Connections) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ask(server, connections)
        await server.ended.wait()
        assert (await ask(server, connections)).content == b"ok"
        assert server.connections == 2

    play(scenario, b"", OK)


def test_whoever_gives_up_once_it_is_answered_ends_nothing() -> None:
    """The connection is another's by then."""

    async def scenario(server: Server, connections: Connections) -> None:
        loop = asyncio.get_running_loop()
        other: asyncio.Future[object] = loop.create_future()

        def between() -> None:  # the answer is there, and the task that asked has not seen it
            assert connections.begin(server.port, "POST", b"/", [], b"{}", other.set_result)
            asked.cancel()

        told = connections._told
        connections._told = lambda it: (
            told(it),
            loop.call_soon(between),
            setattr(connections, "_told", told),
        )  # type: ignore[assignment]
        asked = asyncio.create_task(ask(server, connections))
        with pytest.raises(asyncio.CancelledError):
            await asked
        outcome = await other
        assert isinstance(outcome, Answer)
        assert (outcome.content, server.connections) == (b"ok", 1)

    play(scenario, OK, OK)


def test_an_answer_is_looked_for_without_sleeping_while_they_come_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For a bounded time, of one request alone, and not of a process that was slow last; one that is quick again is looked for again."""
    polls: list[float] = []
    poll = Connections._poll

    def counted(self: Connections, connection: Any, since: float) -> None:
        polls.append(since)
        poll(self, connection, since)

    monkeypatch.setattr(Connections, "_poll", counted)
    monkeypatch.setattr(upstream, "POLL_SECONDS", 0.5)

    async def scenario(server: Server, connections: Connections) -> None:
        await ask(server, connections)
        assert len(polls) > 1
        assert len(set(polls)) == 1
        server.pause = 1.2
        asking = asyncio.create_task(ask(server, connections))
        await asyncio.sleep(0.8)
        seen = len(polls)
        await asking
        assert len(polls) == seen, "it sleeps by now"
        await ask(server, connections)
        assert len(polls) == seen, "it was slow last"
        server.pause = 0
        await ask(server, connections)
        assert len(polls) == seen
        await ask(server, connections)
        assert len(polls) > seen
        seen = len(set(polls))
        await asyncio.gather(*(ask(server, connections) for _ in range(3)))
        assert len(set(polls)) <= seen + 1

    play(scenario, *[OK] * 8)


def test_an_answer_that_is_late() -> None:
    """Each request has the same time for its answer, from when it was sent, whatever became of those before it."""

    async def scenario(server: Server, connections: Connections) -> None:
        loop = asyncio.get_running_loop()
        ends: list[float] = []

        async def late(pause: float) -> None:
            await asyncio.sleep(pause)
            began = loop.time()
            with pytest.raises(TimeoutError):
                await ask(server, connections)
            ends.append(loop.time() - began)

        assert (await ask(server, connections)).content == b"ok"
        await asyncio.gather(late(0.1), late(0.2))
        assert min(ends) >= 0.3 - 0.001  # the loop counts in milliseconds
        assert server.connections == 2
        assert (await ask(server, connections)).content == b"ok"
        assert server.connections == 3

    play(scenario, OK, b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", OK, answer_seconds=0.3)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (None, Ended),
        (b"garbage\r\n\r\n", Ended),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + bytes(1001), TooLarge),
    ],
    ids=["closed", "no HTTP", "too large"],
)
def test_what_is_no_answer(said: bytes | None, error: type[Exception]) -> None:
    """It is told, and the next request has a connection of its own."""

    async def scenario(server: Server, connections: Connections) -> None:
        with pytest.raises(error):
            await ask(server, connections)
        assert (await ask(server, connections)).content == b"ok"

    play(scenario, said, OK)
