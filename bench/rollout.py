"""A rollout under constant load: a good version takes over, a bad one goes back, and no request may fail on the way.

`python -m bench.rollout [--requests N]`. The model is that of `bench.serving`, 20 trees of depth 5; eight callers send their next
request when their last one was answered. The bad version's answers break from its 300th on, by a step after the model.
Ends with an error where any of the requests was not answered with a 200.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpx

from bench.serving import models
from penstock.host.manifest import MANIFEST
from penstock.host.upstream import Connections
from penstock.spec.rollout import Rollout
from penstock.targets.embedded import EmbeddedTarget

CALLERS, NAME = 8, "boosted"
PLAN: Final = Rollout(steps=(5, 25, 50), requests=500, minutes=0)
BREAKS: Final = """
from itertools import count

TAKES = {"prediction": "long"}
GIVES = {"tired": "int"}
EXAMPLES = [({"prediction": 1}, {"tired": 0})]
answers = count()

def run(record):
    if next(answers) > 300:
        raise RuntimeError("tired")
    return {"tired": 0}
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.rollout", description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000, help="at least (default 50000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-rollout-") as name:
        folder = Path(name)
        target = EmbeddedTarget(folder / "state")
        target.ensure_running()
        try:
            package = models.write(NAME, folder / "package")
            record = json.loads((package / "samples.json").read_text())["records"][0]
            target.route(NAME, target.put(package))
            good = target.put(_another(package, folder / "good", "2"))
            bad = target.put(_another(package, folder / "bad", "3", BREAKS))
            rows, failed = asyncio.run(_there_and_back(target, record, good, bad, options.requests))
        finally:
            target.stop()
    print("| | | goal |\n| --- | --- | --- |")
    for what, seen, goal in rows:
        print(f"| {what} | {seen} | {goal} |")
    if failed:
        raise SystemExit(f"{failed} requests failed")


def _another(package: Path, folder: Path, version: str, step: str | None = None) -> Path:
    """The same package as another version, maybe with a step after the model."""
    shutil.copytree(package, folder)
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    manifest["version"] = version
    if step is not None:
        file = folder / "steps" / "tired" / "step.py"
        file.parent.mkdir(parents=True)
        file.write_text(step)
        manifest["files"]["steps/tired/step.py"] = hashlib.sha256(step.encode()).hexdigest()
        manifest["steps"] = ["score", "tired"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


async def _there_and_back(
    target: EmbeddedTarget, record: dict[str, Any], good: str, bad: str, least: int
) -> tuple[list[tuple[str, str, str]], int]:
    """Both rollouts under load: the table's rows, and how many requests failed."""
    done, failed, seconds = asyncio.Event(), 0, list[float]()
    url = httpx.URL(str(target.url()))
    assert url.port is not None
    port, body = url.port, json.dumps(record).encode()
    connections = Connections(2**20, answer_seconds=60.0, idle_seconds=3.0)

    async def call() -> None:
        nonlocal failed
        path = f"/functions/{NAME}/predict".encode()
        while not done.is_set():
            began = time.perf_counter()
            answer = await connections.ask(port, "POST", path, [(b"content-type", b"application/json")], body)
            seconds.append(time.perf_counter() - began)
            failed += answer.status != 200

    callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
    began, told = time.perf_counter(), []
    for revision, expected in ((good, "promoted"), (bad, "worse")):
        start = time.perf_counter()
        await asyncio.to_thread(target.roll_out, NAME, revision, PLAN, revision)
        while True:
            rollout = (await asyncio.to_thread(target.status, NAME)).rollout
            assert rollout is not None
            if rollout.over:
                break
            await asyncio.sleep(0.2)
        if rollout.state != expected:
            raise SystemExit(f"{revision} ended as {rollout.state}: {rollout.reason}")
        print(f"{revision} {rollout.state}: {rollout.reason}", file=sys.stderr, flush=True)
        told.append(time.perf_counter() - start)
    while len(seconds) < least:
        await asyncio.sleep(0.2)
    elapsed = time.perf_counter() - began
    done.set()
    await asyncio.gather(*callers)
    connections.close()
    seconds.sort()
    return [
        ("requests / failed", f"{len(seconds)} / {failed}", "at least 50000 / 0"),
        (
            "requests a second, p99 in ms",
            f"{len(seconds) / elapsed:.0f}, {1e3 * seconds[len(seconds) * 99 // 100]:.1f}",
            "",
        ),
        ("until the good one has all traffic / the bad one none, s", f"{told[0]:.1f} / {told[1]:.1f}", ""),
    ], failed


if __name__ == "__main__":
    main()
