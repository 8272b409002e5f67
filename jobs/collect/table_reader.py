"""A source of rows: a query's result, streamed from the server in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.sql.elements import TextClause

from jobs.collect.batches import CHUNK_ROWS, Batch, Batches
from jobs.collect.values import column
from penstock.errors import DataError, SourceUnavailable
from penstock.queries import Database, is_mistake
from penstock.spec.sources import Table


def read_table(database: Database, query: TextClause) -> Batches:
    """The batches of the query's rows. Raises SourceUnavailable where the database does not answer, DataError
    where it refuses the query or the result has two columns of one name; neither shows a password."""
    source = database.source
    part = f"the query of source {source.name!r}"
    try:
        with database.engine.connect() as connection:
            # A cursor on the server's side where the driver has one: the client never holds the whole result.
            streamed = connection.execution_options(stream_results=True, max_row_buffer=CHUNK_ROWS)
            result = streamed.execute(query)
            names = list(result.keys())
            if len(set(names)) < len(names):
                raise DataError(
                    f"{part} gives two columns of one name: {', '.join(names)}",
                    next_step="name them apart with AS",
                )
            first = 1
            for chunk in result.partitions(CHUNK_ROWS):
                yield Batch(part, first, _batch(source, names, chunk, part))
                first += len(chunk)
            if first == 1:
                yield Batch(
                    part, 1, pa.RecordBatch.from_pylist([], pa.schema([(n, pa.null()) for n in names]))
                )
    except sa.exc.SQLAlchemyError as error:
        if is_mistake(error):
            raise DataError(
                f"the database refused {part}: {database.said(error)}",
                next_step="correct the query in the spec",
            ) from None
        raise SourceUnavailable(
            f"source {source.name!r} did not answer (connection {source.connection!r}): {database.said(error)}",
            next_step="check that the database is up and that the connection's URL is right, then run again",
        ) from None
    finally:
        database.engine.dispose()


def _batch(source: Table, names: list[str], chunk: Sequence[sa.Row[Any]], part: str) -> pa.RecordBatch:
    declared = source.columns or {}
    columns = [
        column(values, declared=declared.get(name), where=f"{part}, column {name!r}")
        for name, values in zip(names, zip(*chunk, strict=True), strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=names)
