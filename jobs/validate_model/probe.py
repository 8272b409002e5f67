"""Measures a function package in a process of its own: `python -m jobs.validate_model.probe FOLDER`.

It loads what serves (penstock_function) and nothing else, so that its memory is the function's. Prints one JSON
object: `memory_mb`, `latency_ms`, `payload_kb`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from penstock_function.package import Package
from penstock_function.scorer import Scorer

_WARM = 200
_ROUNDS = 3
_SCORED = 1000


def measure(package: Path) -> dict[str, float]:
    """Start the probe on a package; its figures by name. Raises CalledProcessError where it cannot be scored."""
    command = [sys.executable, "-m", "jobs.validate_model.probe", str(package)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _p99(scorer: Scorer, records: list[dict[str, Any]]) -> float:
    """The 99th percentile of scoring one record, in ms of this thread's own time.

    A package has one thread and waits for nothing; on the wall clock a busy machine would refuse a good model.
    """
    times = []
    for number in range(_SCORED):
        record = records[number % len(records)]
        start = time.thread_time()
        scorer.score([record])
        times.append(time.thread_time() - start)
    return sorted(times)[int(0.99 * len(times))] * 1e3


def _main(folder: Path) -> None:
    package = Package.load(folder)
    scorer = Scorer(package)
    pairs = list(zip(package.samples.records, package.samples.answers, strict=True))
    answered = [dict(record) for record, answer in pairs if "invalid" not in answer]
    for number in range(_WARM):
        scorer.score([answered[number % len(answered)]])
    payload = max(len(json.dumps(value).encode()) for pair in pairs for value in pair)
    figures = {
        # Other work (caches, clock speed) can only slow a round down: the best is the nearest to the truth.
        "latency_ms": min(_p99(scorer, answered) for _ in range(_ROUNDS)),
        "memory_mb": psutil.Process().memory_info().rss / 1e6,
        "payload_kb": payload / 1e3,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
