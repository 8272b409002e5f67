"""A source that is down: asked again with growing pauses, then named, and never with its password."""

from __future__ import annotations

import http.server
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.collect.retry import Patience
from penstock import connections, files, table
from penstock.errors import SourceUnavailable
from penstock.settings import Settings

BODY = b"n\n" + b"".join(b"%d\n" % i for i in range(50_000))


class Flaky(http.server.ThreadingHTTPServer):
    """Answers the first `bad` requests for a file's content in the given way, and then as it should."""

    def __init__(self, how: str, bad: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.how, self.bad, self.asked = how, bad, 0


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Flaky

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.asked > self.server.bad:
            self._head()
            self.wfile.write(BODY)
        elif self.server.how == "busy":
            self.send_error(503)
        else:
            self._head()
            self.wfile.write(BODY[: len(BODY) // 2])
            self.close_connection = True

    def _head(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[object]:
    """Starts a flaky web server, which ends with the test."""
    servers: list[Flaky] = []

    def start(how: str, bad: int) -> tuple[Flaky, str]:
        server = Flaky(how, bad)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_port}/a.csv"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("how", ["busy", "half"])
def test_a_source_that_comes_back_is_read_whole(collect, serve, how: str, capsys) -> None:
    """A server that is busy, or breaks off half-way, is asked again; every row is there once."""
    server, address = serve(how, bad=2)
    found = collect(files("numbers", address))
    assert found.table["n"].to_pylist() == list(range(50_000))
    assert server.asked > 2
    assert "try 2 of 3" in capsys.readouterr().out


def test_a_source_that_stays_away_is_named(collect, serve) -> None:
    """When patience ends, the source and its address are named."""
    _, address = serve("half", bad=1000)
    with pytest.raises(
        SourceUnavailable, match=rf"source 'numbers' did not answer \({address}\).*\(asked 3 times\)"
    ):
        collect(files("numbers", address))


@pytest.mark.parametrize("pattern", ["a.csv", "*.csv"])
def test_a_server_that_is_not_there_is_no_empty_interval(collect, pattern: str) -> None:
    """Refused connections are an outage, for a pattern too: not zero files."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/{pattern}"
    with pytest.raises(SourceUnavailable, match="source 'numbers' did not answer"):
        collect(files("numbers", address, time="at"))


@pytest.fixture
def locked(tmp_path: Path, settings: Settings) -> Iterator[sqlite3.Connection]:
    """The connection `shop`, to a SQLite file that another holds for itself."""
    path = tmp_path / "shop.db"
    connections.save("shop", f"sqlite:///{path}?timeout=0.01", settings.var)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("create table sales (id integer)")
    holder.execute("insert into sales values (1)")
    holder.execute("begin exclusive")
    yield holder
    holder.close()


def test_a_database_that_does_not_answer_is_named(collect, locked) -> None:
    """A database in a state that passes is asked again, and then named by source and connection."""
    with pytest.raises(
        SourceUnavailable,
        match=r"source 'sales' did not answer \(connection 'shop'\): database is locked \(asked 3",
    ):
        collect(table("sales", connection="shop", query="select * from sales"))


def test_a_database_that_comes_back_is_read(collect, locked) -> None:
    """Freed while it is asked again, it gives its rows."""
    timer = threading.Timer(0.2, lambda: locked.execute("rollback"))
    timer.start()
    found = collect(
        table("sales", connection="shop", query="select * from sales"),
        Patience(attempts=50, wait=0.02, longest=0.1),
    )
    timer.join()
    assert found.rows == [{"id": 1}]


@pytest.mark.parametrize(
    "url",
    [
        "nosuch://reader:s3cret@db.example/shop",
        "postgresql+nosuch://reader:s3cret@db.example/shop",
        "reader:s3cret@db.example",
        "postgresql://reader:s3cret@db.example:port/shop",
    ],
)
def test_a_password_never_shows(collect, settings: Settings, url: str, capsys) -> None:
    """A URL that cannot be used is described without what is secret in it."""
    connections.save("shop", url, settings.var)
    with pytest.raises(
        SourceUnavailable, match="connection 'shop' of source 'sales' is not usable"
    ) as refused:
        collect(table("sales", connection="shop", query="select 1"))
    assert "s3cret" not in str(refused.value) + capsys.readouterr().out
    assert refused.value.__suppress_context__
