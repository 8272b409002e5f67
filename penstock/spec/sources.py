"""Where raw data comes from: dated files and database tables, declared, never with a password."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from penstock.spec.templates import query_fault, uri_fault

NAME = r"^[a-z][a-z0-9_]{0,62}$"
#: The column types that collection can declare; Parquet's names for them are the same.
ColumnType = Literal["string", "double", "float", "long", "int", "boolean", "timestamp", "date"]


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=NAME)]
    time: str | None = None
    columns: dict[str, ColumnType] | None = None

    @property
    def snapshot(self) -> bool:
        """True for a source without a time column: it is read whole, as it stands."""
        return self.time is None


class Files(_Source):
    """Files under a URI that fsspec can read; `uri` is a Jinja template of the data interval.

    `{{ interval }}` is the interval's first day (2013-06-01); `{{ interval.start }}` and `{{ interval.end }}`
    are datetimes. Relative paths start at the project's root.
    """

    kind: Literal["files"] = "files"
    uri: Annotated[str, Field(min_length=1)]
    format: Literal["csv", "jsonl", "parquet"] | None = None
    null: list[str] = ["", "NA"]

    @field_validator("uri")
    @classmethod
    def _sound(cls, uri: str) -> str:
        faults = [uri_fault(uri)]
        if re.search(r"://[^/@\s]*:[^/@\s]+@", uri):
            faults.append("holds a password; give the credentials to the job by environment instead")
        if said := "; ".join(filter(None, faults)):
            raise ValueError(said)
        return uri


class Table(_Source):
    """Rows of a query over a named connection. With `time`, the query may use `:start` and `:end`.

    `version` is a cheap query whose answer changes when the table does; without it the table is read each run.
    """

    kind: Literal["table"] = "table"
    connection: Annotated[str, Field(pattern=NAME)]
    query: Annotated[str, Field(min_length=1)]
    version: str | None = None

    @field_validator("connection", mode="before")
    @classmethod
    def _named(cls, connection: object) -> object:
        if isinstance(connection, str) and "://" in connection:
            raise ValueError("is a URL; a spec names a connection, whose URL is kept outside of it")
        return connection

    @field_validator("query", "version")
    @classmethod
    def _bound(cls, query: str | None) -> str | None:
        if query is not None and (fault := query_fault(query)):
            raise ValueError(fault)
        return query


Source = Annotated[Files | Table, Field(discriminator="kind")]


def files(
    name: str,
    uri: str,
    *,
    time: str | None = None,
    format: Literal["csv", "jsonl", "parquet"] | None = None,
    columns: dict[str, ColumnType] | None = None,
    null: list[str] | None = None,
) -> dict[str, object]:
    """Declare a source of files: `files("flights", "data/{{ interval }}/*.csv.gz", time="time_hour")`."""
    extra = {} if null is None else {"null": null}
    return {
        "kind": "files", "name": name, "uri": uri, "time": time, "format": format, "columns": columns, **extra,
    }  # fmt: skip


def table(
    name: str,
    *,
    connection: str,
    query: str,
    time: str | None = None,
    version: str | None = None,
    columns: dict[str, ColumnType] | None = None,
) -> dict[str, object]:
    """Declare a source of rows: `table("planes", connection="reference", query="select ... from planes")`."""
    return {
        "kind": "table", "name": name, "connection": connection, "query": query, "time": time,
        "version": version, "columns": columns,
    }  # fmt: skip
