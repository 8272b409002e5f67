"""The function host: how soon a package is live, a start from zero, what it and its gateway add to an answer, and many functions at once.

`python -m bench.targets [--functions N] [--seconds N]`. The model is that of `bench.serving`: 20 trees of depth 5. A start from
zero is the first request after a restart of the host. What the host adds is the difference of the medians of one client that asks
the process and one that asks the host, in turn, and so for a relay of bytes in the host's place, which is what any program there adds; what the
gateway adds, of one that asks the host and one that asks the gateway, by a route with a key and a limit.

Needs wrk (Debian's package).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import psutil

from bench.serving import load, models
from bench.targets.timing import median_and_worst, renamed, timed
from penstock.host.__main__ import GATEWAY
from penstock.host.state import HostRecord, StateFolder
from penstock.runtimes import is_one
from penstock.targets.embedded import EmbeddedTarget

LIVE, COLD, ROUNDS = 5, 20, 15
ROUTE = (
    'port = 0\n[[routes]]\npath = "/v1/live0"\nfunction = "live0"\nauth = "key"\nlimit = "999999999/day"\n'
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.targets", description=__doc__)
    parser.add_argument("--functions", type=int, default=200, help="at once (default 200)")
    parser.add_argument("--seconds", type=float, default=1, help="of each load (default 1)")
    options = parser.parse_args()
    load.need("wrk")
    with tempfile.TemporaryDirectory(prefix="bench-targets-") as name:
        folder = Path(name)
        target = EmbeddedTarget(folder / "state")
        declared = folder / "gateway.toml"
        declared.write_text(ROUTE)
        os.environ[GATEWAY] = str(declared)
        target.ensure_running()
        try:
            package = models.write("boosted", folder / "package")
            record = json.loads((package / "samples.json").read_text())["records"][0]
            rows = [
                *_alone(target, package, record, options.seconds, folder),
                *_together(target, folder / "state", package, record, options.functions),
            ]
        finally:
            target.stop()
    print("| | | goal |\n| --- | --- | --- |")
    for what, seen, goal in rows:
        print(f"| {what} | {seen} | {goal} |")


Rows = list[tuple[str, str, str]]


def _alone(
    target: EmbeddedTarget, package: Path, record: dict[str, object], seconds: float, folder: Path
) -> Rows:
    live = [timed(lambda name=f"live{n}": _deploy(target, package, name, record)) for n in range(LIVE)]
    cold = []
    for _ in range(COLD):
        target.stop()
        target.ensure_running()
        cold.append(timed(lambda: target.invoke("live0", record)))
    body = folder / "body.json"
    body.write_text(json.dumps(record))
    os.environ["BENCH_KEY"] = target.administer("PUT", "/gateway/keys/bench", json={}).json()["key"]
    url = _process_url(target, "live0")
    rounds = []
    with _relay(urlsplit(url).port) as port:
        places = (
            url,
            f"http://127.0.0.1:{port}/predict",
            f"{target.url()}/functions/live0/predict",
            f"{_record(folder / 'state').gateway}/v1/live0/predict",
        )
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            # None has a core of its own: where there are two, a client that has holds up the others, which are one more here.
            seen = [load.closed(place, body, 1, seconds, core=()) for place in places]
            rounds.append([1e3 * _answered(each).p50 for each in seen])
    process = statistics.median(process for process, *_ in rounds)
    relay = statistics.median(relay - process for process, relay, _, _ in rounds)
    host = statistics.median(host - process for process, _, host, _ in rounds)
    gateway = statistics.median(gateway - host for *_, host, gateway in rounds)
    return [
        ("from a package to its first live answer, s: median / worst", median_and_worst(live), "under 2"),
        ("from zero to an answer, s: median / worst", median_and_worst(cold), "under 1"),
        ("the process's own answer, ms p50", f"{process:.2f}", ""),
        ("what a relay of bytes adds, ms p50", f"{relay:.2f}", ""),
        ("what the host adds, ms p50", f"{host:.2f}", "under 0.3"),
        ("what its gateway adds to that, ms p50", f"{gateway:.2f}", "under 0.3"),
    ]


def _together(
    target: EmbeddedTarget, state: Path, package: Path, record: dict[str, object], count: int
) -> Rows:
    names = [f"many{number}" for number in range(count)]
    for name in names:
        _deploy(target, package, name, record)
        print(f"{name} of {count} is live", file=sys.stderr, flush=True)
    there = _runtimes(state)
    mine = sum(each.memory_full_info().uss for each in there) / 2**20
    host = _host(state).memory_full_info().uss / 2**20
    Random(0).shuffle(names)
    asked = [timed(lambda name=name: target.invoke(name, record)) for name in names]
    after = len(_runtimes(state))
    return [
        (
            f"processes of {count} functions, once each was deployed / asked",
            f"{len(there)} / {after}",
            "at most 32",
        ),
        ("their private memory, MiB", f"{mine:.0f}", "at most 2048"),
        ("the host's own, MiB", f"{host:.0f}", ""),
        ("an answer of each in turn, s: median / worst", median_and_worst(asked), ""),
    ]


def _deploy(target: EmbeddedTarget, package: Path, name: str, record: dict[str, object]) -> None:
    """Have the package live under a name of its own, and its first answer."""
    with tempfile.TemporaryDirectory() as folder:
        target.route(name, target.put(renamed(package, Path(folder) / name, name=name)))
    target.invoke(name, record)


@contextmanager
def _relay(port: int | None) -> Iterator[str]:
    """The port of a relay to that one."""
    command = [sys.executable, "-m", "bench.targets.relay", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _process_url(target: EmbeddedTarget, name: str) -> str:
    """Where the live process of a function itself is asked: it says so as it starts."""
    said = [json.loads(line.partition("| ")[2]) for line in target.logs(name) if '"event":"ready"' in line]
    return f"http://127.0.0.1:{said[-1]['port']}/predict"


def _record(state: Path) -> HostRecord:
    return HostRecord.model_validate_json(StateFolder(state).record.read_bytes())


def _host(state: Path) -> psutil.Process:
    return psutil.Process(_record(state).pid)


def _runtimes(state: Path) -> list[psutil.Process]:
    return [each for each in _host(state).children() if is_one(each.cmdline())]


def _answered(seen: load.Seen) -> load.Seen:
    if seen.errors:
        raise SystemExit(f"{seen.errors} requests were answered with an error: {seen}")
    return seen


if __name__ == "__main__":
    main()
