"""Queries over a named connection, with `:start` and `:end` bound to the data interval where they are used."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from penstock import connections
from penstock.errors import SourceUnavailable
from penstock.intervals import Interval
from penstock.redaction import redact
from penstock.settings import Settings
from penstock.spec.sources import Table

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.sql.elements import TextClause


class Database:
    """A table source's database: its engine, and errors that name the source and never a password."""

    def __init__(self, source: Table, settings: Settings) -> None:
        """Raises SourceUnavailable where the connection is unknown, its URL or driver is not usable, or its
        SQLite file is not there (SQLite would silently make an empty one)."""
        import sqlalchemy as sa

        self.source = source
        url_text = connections.resolve(source.connection, settings.var)
        self._secrets: list[str | None] = [url_text]
        try:
            url = sa.make_url(url_text)
            self._secrets += [str(url.password) if url.password else None]
            self.engine: Engine = sa.create_engine(url)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError, ValueError) as error:
            raise SourceUnavailable(
                f"connection {source.connection!r} of source {source.name!r} is not usable: "
                f"{redact(str(error), *self._secrets)}",
                next_step="give it a SQLAlchemy URL (dialect+driver://user:password@host/database) and install "
                "the driver that it names",
            ) from None
        file = url.database
        if (
            url.get_backend_name() == "sqlite"
            and file
            and file != ":memory:"
            and not file.startswith("file:")
        ):
            self._require(Path(file))

    @property
    def address(self) -> str:
        """Where the database is: its URL without who asks."""
        import sqlalchemy as sa

        url = self.engine.url
        bare = sa.URL.create(
            url.drivername, host=url.host, port=url.port, database=url.database, query=url.query
        )
        return redact(bare.render_as_string())

    def bind(self, query: str, interval: Interval) -> TextClause:
        """The query with the interval's bounds bound as UTC without a zone, as databases keep timestamps.

        SQLite has no timestamps but text: there they are `YYYY-MM-DD HH:MM:SS`.
        """
        import sqlalchemy as sa

        clause = sa.text(query)
        values = {"start": interval.start, "end": interval.end}
        return clause.bindparams(
            **{name: self._bound(values[name]) for name in sorted(clause.compile().params)}
        )

    def said(self, error: BaseException) -> str:
        """An error's first line, without what must not be shown."""
        text = str(getattr(error, "orig", None) or error).strip()
        return redact(text.splitlines()[0] if text else type(error).__name__, *self._secrets)

    def _bound(self, value: datetime) -> datetime | str:
        plain = value.astimezone(UTC).replace(tzinfo=None)
        return plain.isoformat(sep=" ") if self.engine.dialect.name == "sqlite" else plain

    def _require(self, file: Path) -> None:
        if not file.is_file():
            raise SourceUnavailable(
                f"source {self.source.name!r}: connection {self.source.connection!r} names the SQLite file {file}, "
                "which is not there",
                next_step="make the file, or correct the connection's URL",
            )


def is_mistake(error: BaseException) -> bool:
    """True where the database answered that the query is wrong: asking again would not help."""
    import sqlalchemy as sa

    if not isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, sa.exc.SQLAlchemyError)
    if error.connection_invalidated:
        return False
    if isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError)):
        # sqlite3 calls everything operational; code 1 (SQLITE_ERROR) is a wrong query, the rest is its state.
        return getattr(error.orig, "sqlite_errorcode", None) == 1
    return True
