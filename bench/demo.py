"""`make demo` as a newcomer has it, part by part, from nothing to the first live answer. `python -m bench.demo`.

In a fresh clone of this checkout (what is not committed is not in it) with an empty home, so without the caches of
pip and uv: only Python, git and make are there, and a package index, whose distance is part of the first number.
The goal is under 240 s in all.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.airflow import free_ports

ROOT = Path(__file__).parents[1]
GOAL = 240
#: What the demo says first, and what it says after each part (demo.__main__).
FIRST = "$ python -m demo.flights"
PART = re.compile(r"\[\d+ s\] (?P<part>.+): (?P<seconds>[\d.]+) s")


def main() -> None:
    """Run it and print the table."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = _environment(home)
        try:
            parts = _demo(clone, environment)
        finally:
            if (penstock := clone / ".venv" / "bin" / "penstock").exists():
                subprocess.run([penstock, "down"], cwd=clone, env=environment, check=False, stdout=sys.stderr)
    for part, seconds in parts.items():
        print(f"{part:<26}{seconds:7.1f} s")
    print(f"{'to the first live answer':<26}{sum(parts.values()):7.1f} s   (goal: under {GOAL} s)")


def _demo(clone: Path, environment: dict[str, str]) -> dict[str, float]:
    """The seconds of each part of `make demo` in `clone`; what it prints goes to stderr."""
    # This Python, outside of the environment that the bench runs in.
    python = Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info)
    command = ["make", "demo", f"PYTHON={python}"]
    began = time.monotonic()
    parts: dict[str, float] = {}
    with subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            if line.startswith(FIRST):
                parts["environment and install"] = time.monotonic() - began
            elif found := PART.match(line):
                parts[found["part"]] = float(found["seconds"])
    if process.returncode:
        sys.exit(f"make demo ended with {process.returncode}")
    return parts


def _environment(home: Path) -> dict[str, str]:
    """The environment of a new user: where the package index is, and nothing of ours."""
    ours = (
        "AIRFLOW", "PENSTOCK", "PYTHON", "VIRTUAL_ENV", "MAKE", "XDG_", "UV_CACHE", "PIP_CACHE", "JAVA_HOME",
    )  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **free_ports(), "HOME": str(home)}


if __name__ == "__main__":
    main()
