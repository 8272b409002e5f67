"""A run without a scheduler: real jobs, stopped from outside, ended early. A whole run: cli/test_run_live.py."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from penstock import Pipeline, files, local
from penstock.chain import Chain
from penstock.errors import Interrupted
from penstock.intervals import newest_complete
from penstock.record import Entry, Run, RunOptions
from penstock.settings import Settings

CHECKOUT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Told:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.lines: list[str] = []

    def planned(self, run: Run) -> None:
        self.events.append(f"planned {len(run.window)}")

    def began(self, name: str) -> None:
        self.events.append(f"began {name}")

    def said(self, name: str, line: str) -> None:
        self.lines.append(f"{name} {line}")

    def ended(self, entry: Entry) -> None:
        self.events.append(f"{entry.state} {entry.name}")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """A pipeline over monthly files of January and February, which are not there yet."""
    root = tmp_path / "project"
    (root / "dags" / "shift").mkdir(parents=True)
    for shared in ("jobs", "images"):
        (root / shared).symlink_to(CHECKOUT / shared)
    settings = Settings(root, tmp_path / "var", f"file://{tmp_path}/store", "sqlite:///none")
    pipeline = Pipeline(
        name="shift", problem="p", owner="o", task="regression", label="y", time="at", id="row", metric="rmse",
        sources=[files("rows", "{{ interval }}.csv", time="at")],
        schedule="@monthly", start="2024-01-01", end="2024-03-01",
    )  # fmt: skip
    return Chain(settings, pipeline)


def test_an_empty_interval_ends_the_run_skipped(chain: Chain) -> None:
    """No rows in the run's own interval: nothing after collect begins, and the record and the log say why."""
    (chain.settings.root / "2024-01-01.csv").write_text("row,at,y\na,2024-01-05T00:00:00Z,1\n")
    told = Told()
    record = local.run(chain, newest_complete(chain.pipeline, NOW), RunOptions(), told)
    assert record.state == "skipped"
    assert told.events[0] == "planned 2"
    assert "skipped collect@2024-02-01" in told.events
    assert not any(event.startswith("began features") for event in told.events)
    log = local.log_path(chain.settings, "shift", record.run.run).read_text()
    assert "collect@2024-02-01 | skipped: the interval 2024-02-01 is empty" in log
    assert all(line in log.replace(" | ", " ") for line in told.lines)


def test_a_failed_stage_ends_the_run(chain: Chain) -> None:
    """A file without the time column fails its collect with the job's own words, and nothing follows."""
    (chain.settings.root / "2024-01-01.csv").write_text("row,y\na,1\n")
    told = Told()
    record = local.run(chain, newest_complete(chain.pipeline, NOW), RunOptions(), told)
    assert record.state == "failed"
    failed = record.entry("collect@2024-01-01")
    assert failed is not None
    assert failed.failure is not None
    assert (failed.failure.kind, failed.failure.exit_code) == ("data", 4)
    assert "at" in failed.failure.message
    assert not any("validate@2024-01-01" in event or "features" in event for event in told.events)


def test_a_stop_from_outside_ends_the_jobs_first(chain: Chain) -> None:
    """Ctrl-C while a job reads: its process is gone when the call returns, and the record says what happened."""
    os.mkfifo(chain.settings.root / "2024-01-01.csv")  # whoever reads it waits for a writer
    os.mkfifo(chain.settings.root / "2024-02-01.csv")
    told = Told()
    others = set(psutil.Process().children(recursive=True))  # such as another test's Spark
    jobs: list[psutil.Process] = []

    def press_ctrl_c() -> None:
        while len([line for line in told.lines if " key " in line]) < 2:
            time.sleep(0.05)
        jobs.extend(set(psutil.Process().children(recursive=True)) - others)
        os.kill(os.getpid(), 2)

    pressing = threading.Thread(target=press_ctrl_c)
    pressing.start()
    with pytest.raises(Interrupted, match="stopped from outside"):
        local.run(chain, newest_complete(chain.pipeline, NOW), RunOptions(), told)
    pressing.join()
    assert len(jobs) >= 2
    assert not [job for job in jobs if job.is_running() and job.status() != psutil.STATUS_ZOMBIE]
    (record,) = chain.runs.all("shift")
    assert record.state == "failed"
    assert {entry.failure.kind for entry in record.entries if entry.failure} == {"interrupted"}
    assert not any("validate" in event for event in told.events)
