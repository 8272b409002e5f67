"""Load on a server: as much as it takes, by wrk, or at a constant rate, by vegeta.

Each is a lean client of its kind. At a constant rate a request is sent when it is due, whether or not earlier ones were
answered, and its latency counts from then: a server that stalls is seen to.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from penstock.settings import find_root

#: Server and client have a core each, where there are two: neither is measured by what the other takes from it.
SERVER, CLIENT = (["taskset", "--cpu-list", core] if (os.cpu_count() or 1) > 1 else [] for core in "01")
_POST = Path(__file__).with_name("post.lua")
Times = npt.NDArray[np.int64]
_VEGETA = "github.com/tsenart/vegeta/v12@v12.12.0"


@dataclass(frozen=True)
class Seen:
    """What a client saw: requests a second, latencies in seconds, and requests that were not answered well."""

    rate: float
    p50: float
    p99: float
    errors: int


def median(seen: Sequence[Seen]) -> Seen:
    """The median of each figure of several loads, and all of their errors."""
    return Seen(
        statistics.median(each.rate for each in seen),
        statistics.median(each.p50 for each in seen),
        statistics.median(each.p99 for each in seen),
        sum(each.errors for each in seen),
    )


def closed(url: str, body: Path, clients: int, seconds: float, core: Sequence[str] = CLIENT) -> Seen:
    """Each of `clients` connections sends its next request when its last was answered."""
    command = [
        *core,
        "wrk",
        "--threads",
        "1",
        "--connections",
        str(clients),
        "--duration",
        f"{max(1, round(seconds))}s",
    ]
    said = _run([*command, "--script", str(_POST), url], BENCH_BODY=str(body))
    seen = json.loads(said.splitlines()[-1])
    return Seen(seen["requests"] / seen["seconds"], seen["p50"], seen["p99"], seen["errors"])


def constant(url: str, body: Path, rate: float, seconds: float) -> Seen:
    """`rate` requests a second, at most 256 at once; a latency counts from when its request was due (`since_due`)."""
    vegeta, results, whole = _vegeta(), body.with_name("results"), round(rate)
    attack = [
        *CLIENT, vegeta, "attack", f"-rate={whole}", f"-duration={seconds:g}s", f"-body={body}", "-max-workers=256",
        "-header=Content-Type: application/json", f"-output={results}",
        # It would keep every answer, and every figure for an exporter that listens on all addresses.
        "-max-body=0", "-prometheus-addr=",
    ]  # fmt: skip
    _run(attack, f"POST {url}\n")
    # Read once the load is over: until then this would take what the server needs.
    rows = csv.reader(io.StringIO(_run([vegeta, "encode", "-to=csv", str(results)])))
    answers = sorted((int(row[8]), int(row[0]), int(row[2]), row[1] == "200") for row in rows)
    _, sent, took, well = np.array(answers).T
    latencies = since_due(sent, took, whole)
    p50, p99 = np.quantile(latencies, [0.5, 0.99])
    return Seen(len(answers) / seconds, float(p50), float(p99), int(len(answers) - well.sum()))


def since_due(sent: Times, took: Times, rate: int) -> npt.NDArray[np.float64]:
    """Seconds from when each request was due, at `rate` a second, until it was answered.

    `sent` and `took` are nanoseconds in the order of sending, as vegeta has them: where it could not send in time, as all of its
    workers waited, or it had no processor, that request's latency would leave out how late it was (coordinated omission:
    Tene, How NOT to Measure Latency, 2015). The least late of them all is taken to have been in time.
    """
    late = sent - np.arange(len(sent)) * (10**9 // rate)
    latencies: npt.NDArray[np.float64] = (late - late.min() + took) / 1e9
    return latencies


_HOW = {"wrk": "apt-get install wrk", "go": "it builds vegeta", "mvn": "apt-get install maven"}


def need(*programs: str) -> None:
    """Raises SystemExit where one of the programs (wrk, go, mvn) is not there, saying how to get it."""
    for program in programs:
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not on the path: {_HOW[program]}")


def _vegeta() -> str:
    folder = find_root() / "var" / "cache" / "bin"
    built = folder / "vegeta"
    if not built.exists():
        subprocess.run(["go", "install", _VEGETA], env={**os.environ, "GOBIN": str(folder)}, check=True)
    return str(built)


def _run(command: list[str], given: str = "", **environment: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environment}, input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
