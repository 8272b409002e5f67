"""One item of collect: read, find the types, write what belongs to the interval."""

from __future__ import annotations

from pydantic import TypeAdapter

from jobs.collect.output import Output
from jobs.collect.reading import read
from jobs.collect.retry import Patience
from jobs.collect.spool import Spool
from jobs.common.job import Done, Work
from jobs.common.progress import Progress
from penstock.errors import DataError
from penstock.intervals import Interval
from penstock.spec.sources import Files, Source, Table

_SOURCE: TypeAdapter[Files | Table] = TypeAdapter(Source)
_PATIENCE = Patience()


def run(work: Work, patience: Patience = _PATIENCE) -> Done:
    """Collect one source for one interval into `data.parquet`.

    Raises DataError for data that cannot be used, SourceUnavailable for a source that does not answer, SpecError
    for a wrong template or query parameter, OSError where the disk is full.
    """
    source = _SOURCE.validate_python(work.spec["source"])
    interval = Interval.model_validate(work.spec["interval"])
    what = work.item.subject or source.name
    spool = Spool(work.scratch / "raw")
    survey, total = read(source, interval, work.settings, patience, spool, what)
    with Output(work.scratch / "data.parquet", survey.columns(), source.time, interval) as output:
        progress = Progress(f"{what} written", total)
        for part, first, rows in spool.batches():
            output.add(part, first, rows)
            progress.advance(rows.num_rows)
    if source.snapshot and output.rows == 0:
        raise DataError(
            f"source {source.name!r} gave no rows, and without a time column it is a snapshot, which must not be empty",
            next_step="check the query or the file",
        )
    work.put(output.path, "data.parquet")
    dropped = f", {output.dropped:,} outside the interval dropped" if output.dropped else ""
    print(f"{what}: {output.rows:,} rows of {len(output.columns)} columns{dropped}", flush=True)
    summary = {**output.summary(), "untyped": survey.untyped()}
    return Done(digest=output.digest(), outputs=["data.parquet"], summary=summary)
