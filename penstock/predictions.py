"""The prediction log: from the spools of functions to Parquet in the store, by the hour.

`python -m penstock.predictions --spool DIR --store URI` takes every complete segment below DIR, as functions spool them
(images/function/penstock_function/spool.py), to `{store}/{pipeline}/_predictions/{YYYY-MM-DD}/{HH}/{segment}.parquet`, by
the hour in UTC in which its rows were answered. A segment has one name wherever it lies, and is deleted once it is in
the store: however often this is done, and wherever it was killed, each row is there once.

One row a prediction: `time`, `request_id`, `latency` (seconds), `function`, `version`, `key`, `prediction`, `score`, and the
struct `inputs` of the columns that are not sensitive, or hashed.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from penstock.errors import PenstockError, StoreError
from penstock.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1


def folder(pipeline: str) -> str:
    """Where a pipeline's predictions lie in the store."""
    return f"{pipeline}/_predictions"


def days(pipeline: str, store: Store) -> list[tuple[str, datetime]]:
    """The folders of a pipeline's days in the store, each with the instant at which its day is over."""
    found = []
    for name in store.names(folder(pipeline)):
        with suppress(ValueError):  # nothing that `compact` has made
            day = datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC)
            found.append((f"{folder(pipeline)}/{name}", day + timedelta(days=1)))
    return found


def complete(spool: Path) -> list[Path]:
    """The segments of each function's folder below `spool` that nobody writes any more, oldest first."""
    found = []
    for path in sorted(spool.glob("*/*.jsonl"), key=lambda path: path.name):
        with _taken(path) as file:
            if file is not None:
                found.append(path)
    return found


def compact(segment: Path, store: Store) -> str | None:
    """Take one complete segment to the store; its path there, or None where it has no rows or is taken meanwhile.

    Raises:
        StoreError: the store cannot be written; then the segment is still there.
        PenstockError: the segment is none that can be read; it is set aside under another name.
    """
    with _taken(segment) as file:
        if file is None:
            return None
        # A writer that was killed may have left half a line.
        header, newline, lines = file.read().rpartition(b"\n")[0].partition(b"\n")
        path = None
        if newline:
            try:
                described = _header(header)
                table = _table(described, lines)
            except (ValueError, KeyError, TypeError) as error:
                segment.rename(segment.with_suffix(".damaged"))
                raise PenstockError(
                    f"{segment} cannot be read: {error}",
                    next_step=f"it is {segment.stem}.damaged now: look at it, then delete it",
                ) from error
            day, hour = segment.name[:8], segment.name[9:11]
            date = f"{day[:4]}-{day[4:6]}-{day[6:]}"
            path = f"{folder(described['pipeline'])}/{date}/{hour}/{segment.stem}.parquet"
            # Where it is there already, an earlier attempt got so far.
            store.create(path, _parquet(table))
        segment.unlink()
        return path


@contextmanager
def _taken(segment: Path) -> Iterator[IO[bytes] | None]:
    """The segment, locked; None while its writer or somebody else has it. An empty one is its writer's yet."""
    try:
        file = segment.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file if segment.exists() and segment.stat().st_size else None


def _header(line: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(line)
    if header["format"] != FORMAT:
        raise ValueError(f"its format is {header['format']}, this Penstock reads format {FORMAT}")
    return header


def _table(header: dict[str, Any], lines: bytes) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import json as reader

    types = {
        "string": pa.string(), "double": pa.float64(), "float": pa.float32(), "long": pa.int64(), "int": pa.int32(),
        "boolean": pa.bool_(),
    }  # fmt: skip
    row = [
        pa.field("prediction", types[header["prediction"]]),
        pa.field("score", pa.float64()),
        pa.field("inputs", pa.struct([(entry["name"], types[entry["type"]]) for entry in header["inputs"]])),
    ]
    schema = pa.schema(
        [
            ("time", pa.int64()),
            ("request_id", pa.string()),
            ("latency", pa.float64()),
            ("row", pa.struct(row)),
        ]
    )
    table = reader.read_json(
        io.BytesIO(lines),
        # One block, as no row may lie across two.
        read_options=reader.ReadOptions(block_size=len(lines) + 1),
        parse_options=reader.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    same = {"function": header["name"], "version": header["version"], "key": header["key"]}
    columns = {
        "time": table["time"].cast(pa.timestamp("us", "UTC")),
        "request_id": table["request_id"],
        "latency": table["latency"],
        **{name: pa.array([value] * len(table), pa.string()) for name, value in same.items()},
        # Parquet has no struct without fields.
        **{
            field.name: pc.struct_field(table["row"], field.name)
            for field in row
            if field.name != "inputs" or header["inputs"]
        },
    }
    return pa.table(columns)


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def main() -> int:
    """Compact what is complete; 0, or the exit code of the last error. One that fails keeps no other from being taken."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock.predictions", description="Compact prediction logs."
    )
    parser.add_argument("--spool", type=Path, required=True, help="the folder with a folder a function")
    parser.add_argument("--store", required=True, help="the store's URI")
    options = parser.parse_args()
    code = 0
    store = Store(options.store)
    for segment in complete(options.spool):
        try:
            compact(segment, store)
        except PenstockError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            code = error.exit_code
            if isinstance(error, StoreError):
                break  # the others would fare no better
    return code


if __name__ == "__main__":
    sys.exit(main())
