"""Measures a function package in a process of its own: `python -m jobs.validate_model.probe FOLDER`.

It loads what serves (penstock_function) and nothing else, so that its memory is the function's; a runtime in Java is a process
below it, whose memory that is. Prints one JSON object: `memory_mb`, `latency_ms`, `payload_kb`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from jobs.common.scorer import Scorer, scorer

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
    """The 99th percentile of scoring one record, in ms of this thread's own time; with another process, on the wall clock.

    A package has one thread and waits for nothing; on the wall clock a busy machine would refuse a good model.
    """
    clock = time.thread_time if scorer.package.runtime == "onnx" else time.perf_counter
    times = []
    for number in range(_SCORED):
        record = records[number % len(records)]
        start = clock()
        scorer.score([record])
        times.append(clock() - start)
    return sorted(times)[int(0.99 * len(times))] * 1e3


def _main(folder: Path) -> None:
    with scorer(folder) as runtime:
        print(json.dumps(_figures(runtime)))


def _figures(scorer: Scorer) -> dict[str, float]:
    samples = scorer.package.samples
    pairs = list(zip(samples.records, samples.answers, strict=True))
    answered = [dict(record) for record, answer in pairs if "invalid" not in answer]
    for number in range(_WARM):
        scorer.score([answered[number % len(answered)]])
    serving = psutil.Process().children() or [psutil.Process()]
    return {
        # Other work (caches, clock speed) can only slow a round down: the best is the nearest to the truth.
        "latency_ms": min(_p99(scorer, answered) for _ in range(_ROUNDS)),
        "memory_mb": sum(process.memory_info().rss for process in serving) / 1e6,
        "payload_kb": max(len(json.dumps(value).encode()) for pair in pairs for value in pair) / 1e3,
    }


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
