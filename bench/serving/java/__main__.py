"""HTTP servers that the runtime in Java could have, side by side: behind each the same handler, which reads a body as JSON and
answers the same each time.

`python -m bench.serving.java [--rounds N] [--seconds N]`. All of them run; in each round each is asked in turn, one record a
request, by one client and by 16, and the table has the medians of the rounds; then at 70 % of its rate, as `bench.serving` does.
The processor's time a request is what a busy machine changes least. The runtime itself is among them, where it was built
(docs/function.md).

Needs wrk (Debian's package), Go, Maven, and in JAVA_HOME a JDK 21 or newer; they run on the Java that the runtime runs on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import psutil

from bench.serving import load, models
from bench.serving.measuring import CLIENTS, SHARE, Measured, answered, show
from bench.serving.servers import MEMORY_BYTES, Running, Server, one_or_many, our_java
from penstock import runtimes
from penstock.settings import find_root

#: Requests after which the JVM has compiled what it will.
WARM: Final = 20_000
NAMES: Final = {
    "jdk": "JDK, 64 threads",
    "jdk-virtual": "JDK, virtual threads",
    "undertow": "Undertow",
    "netty": "Netty",
    "helidon": "Helidon SE",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving.java", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="whose medians are shown (default 10)")
    parser.add_argument("--seconds", type=int, default=2, help="of each load (default 2)")
    options = parser.parse_args()
    load.need("wrk", "go", "mvn")
    program = _built()
    with tempfile.TemporaryDirectory(prefix="bench-java-") as folder, ExitStack() as running:
        bundle = models.write("boosted", Path(folder) / "bundle", "mleap")
        body = Path(folder) / "body.json"
        body.write_text(json.dumps(json.loads((bundle / "samples.json").read_text())["records"][0]))
        everyone = [
            Server(shown, partial(_command, program, name), "/", "/", one_or_many)
            for name, shown in NAMES.items()
        ]
        if (find_root() / runtimes.JAR).is_file():
            everyone.append(our_java(bundle))
        started = {
            each.name: running.enter_context(each.running(Path(tempfile.mkdtemp(dir=folder))))
            for each in everyone
        }
        measured, processor = _measure(started, body, options.rounds, options.seconds)
    show(measured, NAMES["jdk"])
    print("\nmicroseconds of the processor a request, by clients")
    for name in started:
        print(f"| {name} | " + " | ".join(f"{processor[name, clients]:.0f}" for clients in CLIENTS) + " |")
    for name, each in measured.items():
        answered(name, each)


def _measure(
    started: dict[str, Running], body: Path, rounds: int, seconds: int
) -> tuple[dict[str, Measured], dict[tuple[str, int], float]]:
    """By name: what was seen; and by name and clients the microseconds a request."""
    for it in started.values():
        warm = 0.0
        while warm < WARM:
            warm += seconds * load.closed(it.url, body, max(CLIENTS), seconds).rate
    seen: dict[tuple[str, int], list[load.Seen]] = defaultdict(list)
    took: dict[tuple[str, int], list[float]] = defaultdict(list)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for clients, (name, it) in product(CLIENTS, started.items()):
            began = _processor(it)
            seen[name, clients].append(load.closed(it.url, body, clients, seconds))
            took[name, clients].append((_processor(it) - began) / (seconds * seen[name, clients][-1].rate))
    measured = {}
    for name, it in started.items():
        full = {(1, clients): load.median(seen[name, clients]) for clients in CLIENTS}
        steady = load.constant(it.url, body, SHARE * full[1, max(CLIENTS)].rate, seconds)
        measured[name] = Measured(full, steady, it.seconds, it.memory())
    return measured, {key: 1e6 * statistics.median(each) for key, each in took.items()}


def _processor(it: Running) -> float:
    """Seconds that the process has had so far."""
    times = psutil.Process(it.pid).cpu_times()
    return float(times.user + times.system)


def _built() -> Path:
    """The program with all of them."""
    pom = Path(__file__).with_name("pom.xml")
    subprocess.run(["mvn", "--quiet", "--batch-mode", "--file", pom, "package"], check=True)
    return find_root() / "var" / "cache" / "bench-java" / "app" / "bench.jar"


def _command(program: Path, name: str, port: int) -> list[str | Path]:
    return [*runtimes.jvm(MEMORY_BYTES), "-jar", program, name, str(port)]


if __name__ == "__main__":
    main()
