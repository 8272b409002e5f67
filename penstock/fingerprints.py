"""Cheap fingerprints of sources: what can be asked without reading the data, to skip collecting it again.

A fingerprint is not content. Equal fingerprints let a run reuse what it collected; a different one, or none, makes
it collect, and the content's digest decides what follows.
"""

from __future__ import annotations

from typing import Any

from penstock import keys
from penstock.errors import DataError, SourceUnavailable
from penstock.intervals import Interval
from penstock.queries import Database, is_mistake
from penstock.settings import Settings
from penstock.source_files import SourceFiles
from penstock.spec.sources import Files, Table

_MARKS = (
    "ETag", "etag", "Content-MD5", "Digest", "md5Hash", "content_md5",
    "mtime", "Last-Modified", "LastModified", "last_modified", "updated", "created",
)  # fmt: skip


def fingerprint(source: Files | Table, interval: Interval, settings: Settings) -> str | None:
    """A digest that changes when the source's data of `interval` may have changed; None where nobody can tell.

    Files: each one's path, size, and etag or time of change. Tables: where the database is, and the rows of the
    source's `version` query; None without one. A source that cannot be reached has no fingerprint either: collecting
    it then retries and names it.

    Raises SpecError for a wrong template or query parameter, SourceUnavailable for an unknown connection, and
    DataError where the database refuses the `version` query.
    """
    if isinstance(source, Files):
        return _of_files(source, interval, settings)
    return None if source.version is None else _of_table(source, source.version, interval, settings)


def _of_files(source: Files, interval: Interval, settings: Settings) -> str | None:
    files = SourceFiles(source, interval, settings)
    try:
        found = [(path.removeprefix(str(settings.root)), files.info(path)) for path in files.paths()]
    except SourceUnavailable:
        return None
    marks = [(path, info.get("size"), _mark(info)) for path, info in found]
    return None if any(mark is None for *_, mark in marks) else keys.digest(sorted(marks))


def _mark(info: dict[str, Any]) -> str | None:
    """What of a file's info changes with its content: an etag, or the time of change, by the names that fsspec's
    filesystems use."""
    return next((f"{name}={info[name]}" for name in _MARKS if info.get(name) is not None), None)


def _of_table(source: Table, version: str, interval: Interval, settings: Settings) -> str | None:
    from sqlalchemy.exc import DBAPIError

    database = Database(source, settings)
    try:
        with database.engine.connect() as connection:
            rows = connection.execute(database.bind(version, interval)).fetchall()
    except DBAPIError as error:
        if not is_mistake(error):
            return None
        raise DataError(
            f"the version query of source {source.name!r} was refused: {database.said(error)}",
            next_step="correct version= in the pipeline's spec, or leave it out",
        ) from None
    finally:
        database.engine.dispose()
    return keys.digest([database.address, *([repr(value) for value in row] for row in rows)])
