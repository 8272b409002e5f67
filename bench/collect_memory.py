"""Peak memory and time of collecting 1 and 20 times the flights of 2013, from each kind of source.

`python -m bench.collect_memory [--kinds KIND ...] [--times N ...]`. Each collection is the process that the operator
starts, `python -m jobs.collect`, and its peak is what the system counted for it (maximum resident set). The goal is
a flat peak: at most 1.2 times that of the first size. State lies below a folder that is removed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from bench.flight_sources import KINDS
from penstock import keys
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
GOAL = 1.2
YEAR = {"start": "2013-01-01T00:00:00Z", "end": "2014-01-02T00:00:00Z"}


@dataclass(frozen=True)
class Measured:
    """One collection: rows written, peak of memory in MB (1e6 bytes), seconds."""

    rows: int
    peak: float
    seconds: float


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
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="default: all")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 20], help="how often the flights (1 20)")
    arguments = parser.parse_args()
    shown = Table(title=f"collect (goal: a peak of at most {GOAL} times the first)", show_edge=False)
    shown.add_column("source")
    for name in ("flights", "rows", "seconds", "rows/s", "peak MB", "to the first"):
        shown.add_column(name, justify="right")
    for kind in arguments.kinds:
        first: Measured | None = None
        for times in arguments.times:
            found = _collected(kind, times)
            first = first or found
            shown.add_row(
                kind, f"{times}x", f"{found.rows:,}", f"{found.seconds:.1f}",
                f"{found.rows / found.seconds:,.0f}", f"{found.peak:,.0f}", f"{found.peak / first.peak:.2f}",
            )  # fmt: skip
    Console().print(shown)


def _collected(kind: str, times: int) -> Measured:
    """Make the source and collect it, in a folder that is removed after: 20 times the flights take gigabytes."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        var = folder / "var"
        settings = Settings(root=find_root(), var=var, store=f"file://{var}/store", mlflow_uri="")
        return measure(KINDS[kind](folder, times, var), settings, folder)


if __name__ == "__main__":
    main()
