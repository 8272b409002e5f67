"""`make demo`: a real year of flights becomes a function that answers over HTTP, through every gate.

Prepares the sources, starts the services, lets Airflow run the pipeline, and asks the function. Each step prints
the command that a person would type for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from demo import flights
from penstock import settings

PIPELINE = "flight_delays"


def main() -> int:
    """Run the demo; returns its exit status."""
    clock = _Clock()
    here = settings.load()
    _say("python -m demo.flights", "the year's flights, weather, planes and airports, as a company has them")
    with ThreadPoolExecutor(1) as beside:
        data = beside.submit(flights.prepare, here.var)  # beside the services: both take seconds
        _say("penstock up", "Airflow, MLflow and the function host, on loopback")
        status = _penstock("up")
    data.result()  # raises what it raised
    if status:
        return status
    clock.took("services")
    _say(f"penstock run {PIPELINE} --airflow", "three months of data, gates, and a function")
    status = _penstock("run", PIPELINE, "--airflow")
    if status:
        return status
    clock.took("first run")
    _ask(here)
    clock.took("first live answer")
    print(
        f"\nThe function goes on serving until `make down`. Run again, and nothing is done twice:"
        f"\n  .venv/bin/penstock run {PIPELINE} --airflow\n  .venv/bin/penstock explain last"
    )
    return 0


def _ask(here: settings.Settings) -> None:
    """Ask the live function about one of its own samples and print question and answer."""
    status = json.loads(_output("status", PIPELINE, "--json"))
    url = status["pipelines"][0]["url"]
    package = next(Path(here.host_state).glob(f"functions/{PIPELINE}/revisions/*/samples.json"))
    record = json.loads(package.read_text())["records"][0]
    body = json.dumps(record)
    print(f"\n$ curl -s {url}/predict -d '{body}'")
    answer = httpx.post(f"{url}/predict", content=body, trust_env=False).raise_for_status()
    print(answer.text)


def _penstock(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "penstock", *arguments], check=False).returncode


def _output(*arguments: str) -> str:
    command = [sys.executable, "-m", "penstock", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _say(command: str, why: str) -> None:
    print(f"\n$ {command}    # {why}", flush=True)


class _Clock:
    """Says how long each part took, and how long it is since the start (bench.demo reads these lines)."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def took(self, part: str) -> None:
        now = time.monotonic()
        print(f"[{now - self._began:.0f} s] {part}: {now - self._last:.1f} s", flush=True)
        self._last = now


if __name__ == "__main__":
    sys.exit(main())
