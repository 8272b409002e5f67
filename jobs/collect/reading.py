"""Reading a source, part by part, each again from its start where the source failed half-way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jobs.collect.batches import Batches
from jobs.collect.file_reader import read_file
from jobs.collect.retry import Patience
from jobs.collect.spool import Spool
from jobs.collect.survey import Survey
from jobs.collect.table_reader import read_table
from jobs.common.progress import Progress
from penstock.errors import DataError
from penstock.intervals import Interval
from penstock.queries import Database
from penstock.settings import Settings
from penstock.source_files import SourceFiles
from penstock.spec.sources import Files, Table

_Part = Callable[[], Batches]


def read(
    source: Files | Table, interval: Interval, settings: Settings, patience: Patience, spool: Spool, what: str
) -> tuple[Survey, int]:
    """Read all parts of a source into the spool; returns what their columns are, and the number of rows.

    Raises SourceUnavailable when `patience` ends, DataError for what cannot be used.
    """
    survey, total = Survey(source), 0
    progress = Progress(f"{what} read", 0)
    for part in _parts(source, interval, settings, patience, what):
        survey, rows = patience.call(what, _reader(part, survey, spool, progress))
        total += rows
    return survey, total


def _parts(
    source: Files | Table, interval: Interval, settings: Settings, patience: Patience, what: str
) -> Iterator[_Part]:
    if isinstance(source, Table):
        database = Database(source, settings)
        query = database.bind(source.query, interval)
        yield lambda: read_table(database, query)
        return
    files = SourceFiles(source, interval, settings)
    paths = patience.call(what, files.paths)
    if not paths and source.snapshot:
        raise DataError(
            f"source {source.name!r}: there is no file at {files.uri}",
            next_step="write the file, or correct uri in the spec",
        )
    print(f"{what}: {len(paths)} files at {files.uri}", flush=True)
    for path in paths:
        yield lambda path=path: read_file(files, path)  # type: ignore[misc]


def _reader(part: _Part, known: Survey, spool: Spool, progress: Progress) -> Callable[[], tuple[Survey, int]]:
    def attempt() -> tuple[Survey, int]:
        survey, rows = known.copy(), 0
        with spool.part() as writer:
            for batch in part():
                survey.add(batch)
                writer.write(batch)
                rows += batch.rows.num_rows
                progress.advance(batch.rows.num_rows)
        return survey, rows

    return attempt
