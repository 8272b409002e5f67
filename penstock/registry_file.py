"""Answers questions straight from MLflow's SQLite file: in a millisecond, where MLflow takes two seconds to load.

It only reads; every change goes through MLflow. The tables are MLflow's own affair, so the tests hold each answer
against MLflow's, and tables that look otherwise are left to MLflow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

#: MLflow's own workspace, the only one of an installation without workspaces.
_WORKSPACE = "default"
_DELETED = "Deleted_Internal"
_BUSY = 30.0  # seconds to wait for a writer


@dataclass(frozen=True)
class Row:
    """A version as it is stored: number, MLflow run, time of creation (ms since 1970), tags."""

    version: int
    run_id: str | None
    created: int
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Model:
    """A registered model: its versions, the newest first, and the version of each alias."""

    rows: list[Row]
    aliases: Mapping[str, int]


class UnknownTables(Exception):
    """The file is no MLflow database of the kind that is known here."""


def read(path: Path, name: str) -> Model:
    """The registered model `name`, empty where there is none, as one moment of the file.

    Raises UnknownTables.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY)) as file:
            file.execute("begin")
            return _read(file, (name, _WORKSPACE))
    except sqlite3.DatabaseError as error:
        raise UnknownTables(f"{path}: {error}") from error


def _read(file: sqlite3.Connection, named: tuple[str, str]) -> Model:
    tags: dict[int, dict[str, str]] = {}
    for version, key, value in file.execute(
        "select version, key, value from model_version_tags where name = ? and workspace = ?", named
    ):
        tags.setdefault(version, {})[key] = value
    versions = file.execute(
        "select version, run_id, creation_time from model_versions"
        " where name = ? and workspace = ? and coalesce(current_stage, '') <> ? order by version desc",
        (*named, _DELETED),
    )
    rows = [
        Row(version, run_id or None, created, tags.get(version, {})) for version, run_id, created in versions
    ]
    aliases = file.execute(
        "select alias, version from registered_model_aliases where name = ? and workspace = ?", named
    )
    return Model(rows, dict(aliases.fetchall()))
