"""`make bench`: every bench, one after another, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

BENCHES = ("parse", "airflow", "collect_memory", "serving", "targets", "demo")


def main() -> int:
    """Run the benches; returns the number that failed."""
    failed = 0
    for name in BENCHES:
        print(f"\n== python -m bench.{name}", flush=True)
        failed += subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
