"""Tables: a query over any SQLAlchemy URL, streamed, with the interval bound where it is asked for."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock import connections, table
from penstock.errors import DataError, SourceUnavailable
from penstock.settings import Settings


@pytest.fixture
def database(tmp_path: Path, settings: Settings) -> sqlite3.Connection:
    """A SQLite file behind the connection `shop`, with the table `sales`."""
    path = tmp_path / "shop.db"
    connections.save("shop", f"sqlite:///{path}", settings.var)
    made = sqlite3.connect(path, isolation_level=None)
    made.execute("create table sales (id integer, at text, amount real, note text)")
    rows = [
        (1, "2013-05-31 23:59:59", 1.0, "before"),
        (2, "2013-06-01 00:00:00", 2.5, None),
        (3, "2013-06-30 23:00:00.5", None, "x"),
        (4, "2013-07-01 00:00:00", 4.0, "after"),
    ]
    made.executemany("insert into sales values (?, ?, ?, ?)", rows)
    return made


def test_the_query_may_use_the_interval(collect, database) -> None:
    """`:start` and `:end` are bound: the database gives the interval's rows, and nothing has to be dropped."""
    query = "select id, at, amount from sales where at >= :start and at < :end order by id"
    found = collect(table("sales", connection="shop", query=query, time="at"))
    assert found.summary["dropped"] == 0
    assert found.summary["columns"] == {"id": "long", "at": "timestamp", "amount": "double"}
    assert found.rows == [
        {"id": 2, "at": datetime(2013, 6, 1, tzinfo=UTC), "amount": 2.5},
        {"id": 3, "at": datetime(2013, 6, 30, 23, 0, 0, 500_000, tzinfo=UTC), "amount": None},
    ]


def test_without_the_interval_in_the_query_the_rest_is_dropped(collect, database) -> None:
    """A query over the whole table gives the same rows, and says how many it dropped."""
    found = collect(table("sales", connection="shop", query="select id, at from sales", time="at"))
    assert [row["id"] for row in found.rows] == [2, 3]
    assert found.summary["dropped"] == 2


def test_a_result_is_streamed_in_chunks(collect, database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one row, of which the first is all null, give the same types and content as one chunk."""
    from jobs.collect import table_reader

    query = "select note, amount, id from sales order by id = 2 desc"
    whole = collect(table("sales", connection="shop", query=query))
    monkeypatch.setattr(table_reader, "CHUNK_ROWS", 1)
    rows = collect(table("sales", connection="shop", query=query))
    assert whole.digest == rows.digest
    assert whole.summary == rows.summary


def test_an_empty_result_keeps_its_columns(collect, database) -> None:
    """No sales in the interval: zero rows, the columns still there."""
    query = "select id, at from sales where at >= :start and id > 100"
    found = collect(table("sales", connection="shop", query=query, time="at", columns={"id": "long"}))
    assert found.rows == []
    assert found.summary["columns"] == {"id": "long", "at": "timestamp"}


def test_a_cell_of_another_type_is_named(collect, database) -> None:
    """SQLite keeps text in a column of numbers: declared, the row and value are named; not declared, the mixture."""
    database.execute("insert into sales values (5, '2013-06-05', 'a lot', 'x')")
    query = "select id, amount from sales order by id"
    with pytest.raises(
        DataError, match=r"query of source 'sales', row 5, column 'amount': found 'a lot', expected a n"
    ):
        collect(table("sales", connection="shop", query=query, columns={"amount": "double"}))
    with pytest.raises(DataError, match=r"column 'amount' holds values of several types: float, str"):
        collect(table("sales", connection="shop", query=query))


def test_a_wrong_query_is_the_databases_word(collect, database) -> None:
    """A table that is not there is no outage: it is named at once, without asking again."""
    with pytest.raises(
        DataError, match="the database refused the query of source 'sales': no such table: orders"
    ):
        collect(table("sales", connection="shop", query="select * from orders"))


def test_two_columns_of_one_name_are_named(collect, database) -> None:
    """A join that gives a name twice is not clear."""
    with pytest.raises(DataError, match="gives two columns of one name: id, id"):
        collect(table("sales", connection="shop", query="select a.id, b.id from sales a, sales b"))


def test_bytes_cannot_be_kept(collect, database) -> None:
    """A column of bytes has no type of ours; the error names it."""
    with pytest.raises(DataError, match="column 'blob' holds bytes values"):
        collect(table("sales", connection="shop", query="select x'00ff' as blob"))


def test_a_missing_sqlite_file_is_not_made(collect, settings: Settings, tmp_path: Path) -> None:
    """SQLite would make an empty database; it is named as missing instead, and none appears."""
    connections.save("shop", f"sqlite:///{tmp_path}/none.db", settings.var)
    with pytest.raises(SourceUnavailable, match=r"names the SQLite file .*none\.db, which is not there"):
        collect(table("sales", connection="shop", query="select 1"))
    assert not (tmp_path / "none.db").exists()


def test_an_unknown_connection_is_named(collect) -> None:
    """The spec names a connection that nobody set up: the error says which, and how to set it."""
    with pytest.raises(SourceUnavailable, match=r"connection 'shop' is not known here.*PENSTOCK_CONN_SHOP"):
        collect(table("sales", connection="shop", query="select 1"))
