"""A table of PostgreSQL as a source: its own types, read through a cursor of the server's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import psycopg
import pytest
from pydantic import TypeAdapter
from sqlalchemy import text

from jobs.collect.table_reader import read_table
from penstock import connections, table
from penstock.errors import SourceUnavailable
from penstock.queries import Database
from penstock.settings import Settings
from penstock.spec.sources import Source
from tests.jobs.collect.conftest import collect, driver, item_of, settings

pytestmark = pytest.mark.services
__all__ = ["collect", "driver", "item_of", "settings"]


@pytest.fixture(scope="module")
def url(database: Callable[[str], str]) -> str:
    """A database with `sales`, of one column a type."""
    made = database("shop")
    with psycopg.connect(made, autocommit=True) as connection:
        connection.execute(
            "create table sales (id bigint, at timestamptz, day date, amount numeric(12,2), ratio double precision, "
            "paid boolean, note text, code uuid)"
        )
        connection.execute(
            "insert into sales select n, timestamptz '2013-05-31 22:00+00' + n * interval '1 minute', "
            "date '2013-06-01', n + 0.25, case when n % 3 = 0 then 'NaN' else n / 4.0 end, n % 2 = 0, "
            "case when n % 5 <> 0 then 'n' || n end, '00000000-0000-0000-0000-000000000001' "
            "from generate_series(0, 99999) n"
        )
    return made


@pytest.fixture
def shop(settings: Settings, url: str) -> None:
    """The connection by that name."""
    connections.save("shop", url, settings.var)


def test_its_types_are_ours(collect, shop) -> None:  # type: ignore[no-untyped-def]
    """Times come in UTC, NaN is null, numeric is a double, and the interval in the query is the interval read."""
    query = "select * from sales where at >= :start and at < :end and id < 125 order by id"
    found = collect(table("sales", connection="shop", query=query, time="at"))
    assert [row["id"] for row in found.rows] == [120, 121, 122, 123, 124]
    assert found.rows[0] == {
        "id": 120, "at": datetime(2013, 6, 1, tzinfo=UTC), "day": date(2013, 6, 1), "amount": 120.25, "ratio": None,
        "paid": True, "note": None, "code": "00000000-0000-0000-0000-000000000001",
    }  # fmt: skip
    assert found.summary["columns"] == {
        "id": "long", "at": "timestamp", "day": "date", "amount": "double", "ratio": "double", "paid": "boolean",
        "note": "string", "code": "string",
    }  # fmt: skip


def test_a_result_comes_through_a_cursor_of_the_servers(shop: None, settings: Settings, url: str) -> None:
    """After the first chunk the server still has the rest: the last that it was asked for is a part of the result."""
    source = TypeAdapter(Source).validate_python(
        table("sales", connection="shop", query="select id, note from sales")
    )
    batches = read_table(Database(source, settings), text(source.query))
    assert next(batches).rows.num_rows < 100_000
    with psycopg.connect(url) as connection:
        asked = connection.execute(
            "select query from pg_stat_activity where query ilike 'fetch forward%'"
        ).fetchall()
    assert len(asked) == 1
    assert sum(batch.rows.num_rows for batch in batches) > 0


def test_a_wrong_password_is_named_and_not_shown(collect, settings: Settings, url: str) -> None:  # type: ignore[no-untyped-def]
    """The server refuses the login: the error names the connection, and holds no password."""
    password = url.split(":")[2].split("@")[0]
    connections.save("shop", url.replace(password, "another-password"), settings.var)
    with pytest.raises(SourceUnavailable, match="shop") as raised:
        collect(table("sales", connection="shop", query="select 1 as one"))
    assert "another-password" not in str(raised.value)
