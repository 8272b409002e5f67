"""Load on a server: as much as it takes, by wrk, or at a constant rate, by vegeta.

Each is the lean client of its kind: what it costs is little of what is measured. At a constant rate a request is sent
when it is due, whether or not earlier ones were answered: a server that stalls is seen to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from penstock.settings import find_root

#: Server and client have a core each, where there are two: neither is measured by what the other takes from it.
SERVER, CLIENT = (["taskset", "--cpu-list", core] if (os.cpu_count() or 1) > 1 else [] for core in "01")
_POST = Path(__file__).with_name("post.lua")
_VEGETA = "github.com/tsenart/vegeta/v12@v12.12.0"


@dataclass(frozen=True)
class Seen:
    """What a client saw: answers a second, latencies in seconds, and requests that were not answered well."""

    rate: float
    p50: float
    p99: float
    errors: int


def closed(url: str, body: Path, clients: int, seconds: float) -> Seen:
    """Each of `clients` connections sends its next request when its last was answered."""
    command = [
        *CLIENT,
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
    """`rate` requests a second, at most 256 at once."""
    vegeta = _vegeta()
    attack = [
        *CLIENT, vegeta, "attack", f"-rate={rate:.0f}", f"-duration={seconds:g}s", f"-body={body}", "-max-workers=256",
        "-header=Content-Type: application/json",
    ]  # fmt: skip
    sent = subprocess.Popen([*attack], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False)
    assert sent.stdin is not None
    sent.stdin.write(f"POST {url}\n".encode())
    sent.stdin.close()
    report = subprocess.run(
        [vegeta, "report", "-type=json"], stdin=sent.stdout, capture_output=True, check=True
    )
    if sent.wait():
        raise SystemExit("vegeta attack failed")
    seen = json.loads(report.stdout)
    latencies = seen["latencies"]
    errors = seen["requests"] - seen["status_codes"].get("200", 0)
    return Seen(seen["throughput"], latencies["50th"] / 1e9, latencies["99th"] / 1e9, errors)


_HOW = {"wrk": "apt-get install wrk", "go": "it builds vegeta"}


def need(*programs: str) -> None:
    """Raises SystemExit where one of the programs (wrk, go) is not there, saying how to get it."""
    for program in programs:
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not on the path: {_HOW[program]}")


def _vegeta() -> str:
    folder = find_root() / "var" / "cache" / "bin"
    built = folder / "vegeta"
    if not built.exists():
        subprocess.run(["go", "install", _VEGETA], env={**os.environ, "GOBIN": str(folder)}, check=True)
    return str(built)


def _run(command: list[str], **environment: str) -> str:
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
