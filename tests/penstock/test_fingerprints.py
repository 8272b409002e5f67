"""Fingerprints: equal while a source cannot have changed, different when it may have."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import fsspec
import pytest
from pydantic import TypeAdapter
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect

from penstock import connections, files, table
from penstock.errors import DataError, SourceUnavailable
from penstock.fingerprints import fingerprint
from penstock.intervals import Interval
from penstock.queries import Database
from penstock.settings import Settings
from penstock.spec.sources import Source

JUNE = Interval(start=datetime(2013, 6, 1, tzinfo=UTC), end=datetime(2013, 7, 1, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(root=tmp_path, var=tmp_path / "var", store="", mlflow_uri="")


def _of(source: dict[str, Any], settings: Settings) -> str | None:
    return fingerprint(TypeAdapter(Source).validate_python(source), JUNE, settings)


def test_files_are_told_by_path_size_and_time(settings: Settings) -> None:
    """The same files give the same fingerprint; one more, one longer, one newer, another."""
    source = files("x", "data/{{ interval }}/*.csv")
    folder = settings.root / "data" / "2013-06-01"
    seen = [_of(source, settings)]
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("n\n1\n")
    seen.append(_of(source, settings))
    assert _of(source, settings) == seen[-1]
    (folder / "b.csv").write_text("n\n1\n")
    seen.append(_of(source, settings))
    (folder / "b.csv").write_text("n\n1\n2\n")
    seen.append(_of(source, settings))
    os.utime(folder / "b.csv", (1, 1))
    seen.append(_of(source, settings))
    assert None not in seen
    assert len(set(seen)) == 5


def test_other_filesystems_have_marks_too(settings: Settings) -> None:
    """A file in memory is told by the time it was made."""
    with fsspec.open("memory://bucket/a.csv", "wb") as file:
        file.write(b"n\n1\n")
    source = files("x", "memory://bucket/*.csv")
    first = _of(source, settings)
    assert first is not None
    assert _of(source, settings) == first
    with fsspec.open("memory://bucket/a.csv", "wb") as file:
        file.write(b"n\n2\n")
    assert _of(source, settings) != first


def test_a_server_that_does_not_answer_has_none(settings: Settings) -> None:
    """An outage is left to collect, which asks again and names it."""
    assert _of(files("x", "http://127.0.0.1:9/*.csv"), settings) is None


@pytest.fixture
def database(settings: Settings) -> sqlite3.Connection:
    """The connection `shop`, with the table `sales`."""
    path = settings.root / "shop.db"
    connections.save("shop", f"sqlite:///{path}", settings.var)
    made = sqlite3.connect(path, isolation_level=None)
    made.execute("create table sales (at text)")
    made.execute("insert into sales values ('2013-06-05'), ('2013-08-01')")
    return made


def test_a_table_is_told_by_its_version_query(settings: Settings, database: sqlite3.Connection) -> None:
    """What the version query answers is the fingerprint; it may be asked of the interval alone."""
    version = "select count(*) from sales where at >= :start and at < :end"
    source = table("sales", connection="shop", query="select * from sales", time="at", version=version)
    first = _of(source, settings)
    assert first is not None
    database.execute("insert into sales values ('2013-08-02')")
    assert _of(source, settings) == first
    database.execute("insert into sales values ('2013-06-06')")
    assert _of(source, settings) != first


def test_another_database_is_another_fingerprint(settings: Settings, database: sqlite3.Connection) -> None:
    """A connection that is moved to a database whose version query answers the same has other data all the same."""
    source = table(
        "sales", connection="shop", query="select * from sales", version="select count(*) from sales"
    )
    first = _of(source, settings)
    moved = sqlite3.connect(settings.root / "moved.db", isolation_level=None)
    moved.execute("create table sales (at text)")
    moved.execute("insert into sales values ('2013-06-05'), ('2013-08-01')")
    connections.save("shop", f"sqlite:///{settings.root}/moved.db", settings.var)
    assert _of(source, settings) != first
    connections.save("shop", f"sqlite:///{settings.root}/shop.db", settings.var)
    assert _of(source, settings) == first


class _SomeSql(DefaultDialect):
    """The dialect of a database with hosts and users whose driver is always there."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        return sqlite3


def test_who_asks_is_no_part_of_a_databases_address(settings: Settings) -> None:
    """A new user or password reads nothing again, and neither is put into a digest; host and database are."""
    registry.register("somesql", __name__, "_SomeSql")
    source = TypeAdapter(Source).validate_python(table("sales", connection="shop", query="select 1"))

    def address(place: str, who: str = "a:one") -> str:
        connections.save("shop", f"somesql://{who}@{place}", settings.var)
        return Database(source, settings).address

    assert address("h:99/x?driver=d") == address("h:99/x?driver=d", "b:two")
    assert address("h:99/x") != address("h:99/y")
    assert address("h:99/x") != address("g:99/x")
    assert "one" not in address("h:99/x?token=one")


def test_a_table_without_a_version_has_none(settings: Settings) -> None:
    """Nobody can tell, and nothing is asked: not even the connection is needed."""
    assert _of(table("sales", connection="shop", query="select 1"), settings) is None


def test_a_wrong_version_query_is_named(settings: Settings, database: sqlite3.Connection) -> None:
    """A version query that never answers would collect for ever without a word: it is a mistake, and named."""
    source = table(
        "sales", connection="shop", query="select * from sales", version="select max(v) from orders"
    )
    with pytest.raises(DataError, match="version query of source 'sales' was refused: no such table: orders"):
        _of(source, settings)


def test_an_unknown_connection_is_named(settings: Settings) -> None:
    """A connection that nobody set up is no outage that passes."""
    with pytest.raises(SourceUnavailable, match="connection 'shop' is not known"):
        _of(table("sales", connection="shop", query="select 1", version="select 1"), settings)


def test_fingerprints_are_light() -> None:
    """The scheduler's machine takes them: neither pandas nor the libraries of jobs, and SQLAlchemy only when used."""
    heavy = "{'pandas', 'pyarrow', 'numpy', 'sqlalchemy', 'jinja2', 'pyspark'}"
    code = f"import sys, penstock.fingerprints; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
