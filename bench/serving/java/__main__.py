"""HTTP servers that the runtime in Java could have, side by side: behind each the same handler, which reads a body as JSON and
answers the same each time.

`python -m bench.serving.java [--rounds N] [--seconds N]`. All of them run; in each round each is asked in turn, one record a
request, and the table is that of `bench.serving`. The runtime itself is among them, where it was built (docs/function.md).

Needs wrk (Debian's package), Go, Maven, and in JAVA_HOME a JDK 21 or newer; they run on the Java that the runtime runs on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench.serving import load, models
from bench.serving.measuring import check, measure, show, start
from bench.serving.servers import MEMORY_BYTES, Server, one_or_many, our_java
from penstock import runtimes
from penstock.settings import find_root

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
        started = {each.name: start(each, Path(tempfile.mkdtemp(dir=folder)), running) for each in everyone}
        bodies = {(name, 1): body for name in started}
        measured = measure(started, bodies, options.rounds, options.seconds)
    show(measured, NAMES["jdk"])
    check(measured)


def _built() -> Path:
    """The program with all of them."""
    pom = Path(__file__).with_name("pom.xml")
    subprocess.run(["mvn", "--quiet", "--batch-mode", "--file", pom, "package"], check=True)
    return find_root() / "var" / "cache" / "bench-java" / "app" / "bench.jar"


def _command(program: Path, name: str, port: int) -> list[str | Path]:
    return [*runtimes.jvm(MEMORY_BYTES), "-jar", program, name, str(port)]


if __name__ == "__main__":
    main()
