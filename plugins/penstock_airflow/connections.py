"""Airflow's connections as SQLAlchemy URLs: what the sources name becomes known to this process and its jobs.

Airflow's own `get_uri()` is no such URL: its schemes are connection types, and its extras may be JSON in one field.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from penstock import connections
from penstock.errors import SourceUnavailable
from penstock.spec.pipeline import Pipeline
from penstock.spec.sources import Table

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sqlalchemy import URL

#: Airflow's connection types whose host, port and schema are those of a SQLAlchemy URL, with the URL's driver: the
#: dialect's default, but for SQL Server, where Airflow's own is used (the default needs an ODBC driver's name).
DRIVERS = {
    "postgres": "postgresql",
    "redshift": "redshift+redshift_connector",
    "mysql": "mysql",
    "mssql": "mssql+pymssql",
    "sqlite": "sqlite",
}


def export_connections(pipeline: Pipeline, var: Path) -> None:
    """Give the jobs of this process the Airflow connections that the sources name and nobody else knows.

    Raises SourceUnavailable where Airflow has no such connection, or it has no SQLAlchemy URL.
    """
    for name in sorted({source.connection for source in pipeline.sources if isinstance(source, Table)}):
        try:
            connections.resolve(name, var)
        except SourceUnavailable as unknown:
            url = sqlalchemy_url(_get(name, unknown))
            os.environ[_variable(name)] = url.render_as_string(hide_password=False)


def sqlalchemy_url(connection: Connection) -> URL:
    """The URL that an Airflow connection means; its extras become the URL's query.

    Raises SourceUnavailable for a type that is not in `DRIVERS`, and for extras that are not texts.
    """
    from sqlalchemy import URL

    name, type_ = connection.conn_id, (connection.conn_type or "").lower()
    if type_ not in DRIVERS:
        raise SourceUnavailable(
            f"Airflow's connection {name!r} is of type {type_ or 'none'!r}, of which no SQLAlchemy URL is made here; "
            f"supported: {', '.join(DRIVERS)}",
            next_step=f"set {_variable(name)} to its SQLAlchemy URL where the tasks run",
        )
    query = _query(connection)
    if (
        type_ == "sqlite"
    ):  # a file, which Airflow keeps as the host, or as the schema where it was given as a URI
        return URL.create(DRIVERS[type_], database=connection.host or connection.schema, query=query)
    return URL.create(
        DRIVERS[type_],
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port,
        database=connection.schema or None,
        query=query,
    )


def _query(connection: Connection) -> dict[str, str]:
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        said = "its extra is no JSON object"
    elif others := sorted(name for name, value in extra.items() if not isinstance(value, str)):
        said = f"its extra holds {', '.join(others)}, which is no text"
    else:
        return extra
    raise SourceUnavailable(
        f"Airflow's connection {connection.conn_id!r} cannot become a SQLAlchemy URL: {said}",
        next_step="write each extra as a text that the database's driver takes in its URL, or set "
        f"{_variable(connection.conn_id)} to the SQLAlchemy URL where the tasks run",
    )


def _get(name: str, unknown: SourceUnavailable) -> Connection:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found: Connection = Connection.get(name)
    except AirflowNotFoundException:
        raise SourceUnavailable(
            f"{unknown.message}, and Airflow has no connection of that name",
            next_step=f"add it in Airflow (Admin, Connections), or set {_variable(name)} to its SQLAlchemy URL",
        ) from None
    return found


def _variable(name: str) -> str:
    return connections.PREFIX + name.upper()
