"""What Airflow adds to the jobs' own time, and what an unchanged run costs. `python -m bench.airflow`.

In one folder each, with the year's real flights: the chain in one terminal (its stages' jobs one after another but
for the intervals, which go two at a time), then by Airflow with its scheduler already up, then by Airflow again with
nothing changed. The goal is at most 15 s over the jobs by hand, and under 12 s for the unchanged run.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PIPELINE = "flight_delays"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        hand = _environment(Path(folder) / "hand")
        by_airflow = _environment(Path(folder) / "airflow")
        for environment in (hand, by_airflow):
            subprocess.run(
                [sys.executable, "-m", "demo.flights"],
                env=environment,
                check=True,
                cwd=ROOT,
                stdout=sys.stderr,
            )
        try:
            here, local = _timed(hand, "run", PIPELINE)
            _penstock(hand, "down")
            began = time.monotonic()
            _penstock(by_airflow, "up")
            up = time.monotonic() - began
            first, answer = _timed(by_airflow, "run", PIPELINE, "--airflow")
            again, reused = _timed(by_airflow, "run", PIPELINE, "--airflow")
        finally:
            for environment in (hand, by_airflow):
                _penstock(environment, "down")
    assert local["state"] == answer["state"] == "succeeded", (local["state"], answer["state"])
    assert {stage["state"] for stage in reused["stages"]} == {"reused"}
    print(f"penstock up, first time          {up:7.1f} s")
    print(f"run here, by hand                {here:7.1f} s")
    print(f"run by Airflow                   {first:7.1f} s   {first - here:+.1f} s (goal: at most +15 s)")
    print(f"run by Airflow, nothing changed  {again:7.1f} s   (goal: under 12 s)")


def _timed(environment: dict[str, str], *arguments: str) -> tuple[float, Any]:
    began = time.monotonic()
    answer = json.loads(_penstock(environment, *arguments, "--json"))
    return time.monotonic() - began, answer


def _penstock(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "penstock", *arguments]
    ran = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return ran.stdout


def _environment(var: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PENSTOCK"))}
    return {**kept, **free_ports(), "PENSTOCK_VAR": str(var)}


def free_ports() -> dict[str, str]:
    """The variables that give the services ports of their own, beside any that run."""
    return {f"PENSTOCK_{name}_PORT": str(_free_port()) for name in ("AIRFLOW", "MLFLOW", "HOST")}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
