"""The table of docs/flights.md: what `flight_delays` reaches in each month. `python -m bench.flights`.

Ten runs, March to December of 2013, one after another in a folder of their own, as
`penstock run flight_delays --from 2013-03-01 --to 2013-12-01` makes them. It is about models and not about speed, so
`make bench` leaves it out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from penstock.record import Record, Runs
from penstock.store import Store

ROOT = Path(__file__).parents[1]
PIPELINE = "flight_delays"


def main() -> None:
    """Print the table, as Markdown."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK")}
        environment = {**kept, "PENSTOCK_VAR": folder, "PENSTOCK_HOST_PORT": "0"}
        _python(environment, "demo.flights")
        try:
            made = _python(
                environment,
                "penstock",
                "run",
                PIPELINE,
                "--from",
                "2013-03-01",
                "--to",
                "2013-12-01",
                "--json",
            )
        finally:
            _python(environment, "penstock", "down")
        runs = Runs(Store(f"file://{folder}/store"))
        records = [runs.read(PIPELINE, answer["run"]) for answer in json.loads(made)["runs"]]
    print("| month | rows judged | base rate | ROC AUC | PR AUC |")
    print("| --- | --- | --- | --- | --- |")
    for record in filter(None, records):
        print(row(record))


def row(record: Record) -> str:
    """A run's line: what its model reached on the holdout."""
    trained = record.entry("train")
    assert trained is not None
    found = trained.summary
    rows, metrics = found["rows"]["holdout"], found["metrics"]
    return (
        f"| {record.run.interval.start:%B} | {rows:,} | {found['base_rate']:.3f} | {metrics['roc_auc']:.3f} "
        f"| {metrics['pr_auc']:.3f} |"
    )


def _python(environment: dict[str, str], *module: str) -> str:
    """Run a module in the project; what it says on stderr is shown, what it answers is returned."""
    command = [sys.executable, "-m", *module]
    ran = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return ran.stdout


if __name__ == "__main__":
    main()
