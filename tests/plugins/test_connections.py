"""Airflow's connections as SQLAlchemy URLs."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from penstock import Pipeline, connections, files, table
from penstock.errors import SourceUnavailable
from penstock.queries import Database
from penstock.settings import Settings
from penstock_airflow.connections import export_connections, sqlalchemy_url


def pipeline(connection: str) -> Pipeline:
    return Pipeline(
        name="shop", problem="p", owner="o", task="binary", label="l", time="t", id="i", metric="roc_auc",
        sources=[files("rows", "x", time="t"), table("sales", connection=connection, query="select 1")],
        schedule="@monthly", start="2013-01-01",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test exports ends with it."""
    monkeypatch.setenv("PENSTOCK_CONN_WAREHOUSE", "")


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        (
            {"conn_type": "postgres", "host": "db", "port": 5432, "schema": "sales", "login": "me", "password": "p@ss/w:d"},
            "postgresql://me:p%40ss%2Fw%3Ad@db:5432/sales",
        ),
        (
            {"conn_type": "postgres", "host": "db", "schema": "sales", "extra": json.dumps({"sslmode": "require"})},
            "postgresql://db/sales?sslmode=require",
        ),
        ({"conn_type": "mysql", "host": "db", "login": "me", "schema": "sales"}, "mysql://me@db/sales"),
        ({"conn_type": "mssql", "host": "db", "schema": "sales"}, "mssql+pymssql://db/sales"),
        ({"conn_type": "redshift", "host": "db", "schema": "sales"}, "redshift+redshift_connector://db/sales"),
        ({"conn_type": "sqlite", "host": "/data/shop.db"}, "sqlite:////data/shop.db"),
        ({"uri": "sqlite:////data/shop.db"}, "sqlite:////data/shop.db"),
        ({"uri": "postgresql://me:p%40ss@db/sales?sslmode=require"}, "postgresql://me:p%40ss@db/sales?sslmode=require"),
    ],
)  # fmt: skip
def test_fields_become_a_url(fields: dict[str, Any], url: str) -> None:
    """Host, port, schema, login and password as they are meant, whatever signs they hold; extras as the query."""
    made = sqlalchemy_url(Connection(conn_id="warehouse", **fields))
    assert made.render_as_string(hide_password=False) == url


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"conn_type": "http", "host": "h"}, "type 'http', of which no SQLAlchemy URL is made here; supported: postgres"),
        ({"conn_type": None, "host": "h"}, "type 'none'"),
        ({"conn_type": "postgres", "extra": '{"keepalives": 3, "sslmode": "a", "iam": true}'}, "its extra holds iam, keepalives"),
        ({"conn_type": "postgres", "extra": "hunter2"}, "its extra is no JSON object"),
        ({"conn_type": "postgres", "extra": '["hunter2"]'}, "its extra is no JSON object"),
    ],
)  # fmt: skip
def test_what_has_no_url_is_named(fields: dict[str, Any], said: str) -> None:
    """A type or an extra that cannot be said in a URL is refused with the way around, and no secret is shown."""
    with pytest.raises(SourceUnavailable) as refused:
        sqlalchemy_url(Connection(conn_id="warehouse", **fields))
    assert said in refused.value.message
    assert "hunter2" not in str(refused.value)
    assert refused.value.next_step is not None
    assert "PENSTOCK_CONN_WAREHOUSE" in refused.value.next_step


def test_a_connection_of_airflow_reaches_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Airflow knows, from its environment here, opens the database by the URL that the jobs are given."""
    shop = tmp_path / "shop's data.db"
    with sqlite3.connect(shop) as database:
        database.execute("create table sales (n)")
        database.execute("insert into sales values (3)")
    value = {"conn_type": "sqlite", "host": str(shop)}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(value))
    declared = pipeline("warehouse")
    export_connections(declared, tmp_path / "var")
    here = Settings(root=tmp_path, var=tmp_path / "var", store="", mlflow_uri="")
    with Database(declared.sources[1], here).engine.connect() as opened:  # type: ignore[arg-type]
        assert opened.exec_driver_sql("select n from sales").scalar() == 3


def test_what_is_known_here_is_not_asked_of_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installation's own connection goes before Airflow's."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "http"}))
    connections.save("warehouse", "sqlite:///x.db", tmp_path)
    export_connections(pipeline("warehouse"), tmp_path)
    assert os.environ["PENSTOCK_CONN_WAREHOUSE"] == ""


def test_a_connection_that_nobody_knows_is_named(tmp_path: Path) -> None:
    """Neither here nor in Airflow: one error that says both, and where to add it."""
    with pytest.raises(
        SourceUnavailable, match=r"'warehouse' is not known here .* Airflow has no connection"
    ) as error:
        export_connections(pipeline("warehouse"), tmp_path)
    assert error.value.next_step is not None
    assert "Admin, Connections" in error.value.next_step
