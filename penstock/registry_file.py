"""Answers questions straight from MLflow's SQLite file, in a millisecond.

The tables are MLflow's own affair: those that look otherwise are left to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from penstock.registered import LeftToMLflow, Row

#: MLflow's own workspace, the only one of an installation without workspaces.
_WORKSPACE = "default"
_DELETED = "Deleted_Internal"
_BUSY = 30.0  # seconds to wait for a writer

Answer = TypeVar("Answer")


class RegistryFile:
    """A database of MLflow's that need not be there yet. See `penstock.registered.Reader`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def versions(self, name: str) -> list[Row]:
        return self._ask(lambda file: _versions(file, (name, _WORKSPACE)))

    def by_alias(self, name: str, alias: str) -> Row | None:
        named = (name, _WORKSPACE)

        def found(file: sqlite3.Connection) -> Row | None:
            number = file.execute(
                "select version from registered_model_aliases where name = ? and workspace = ? and alias = ?",
                (*named, alias),
            ).fetchone()
            if number is None:
                return None
            return next((row for row in _versions(file, named) if row.version == number[0]), None)

        return self._ask(found)

    def _ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """The answer of one moment of the file."""
        try:
            with closing(
                sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=_BUSY)
            ) as file:
                file.execute("begin")
                return question(file)
        except sqlite3.DatabaseError as error:
            raise LeftToMLflow(f"{self._path}: {error}") from error


def _versions(file: sqlite3.Connection, named: tuple[str, str]) -> list[Row]:
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
    return [
        Row(version, run_id or None, created, tags.get(version, {})) for version, run_id, created in versions
    ]
