"""The job contract's end: however a job ends, its outcome is whole or not there, and its exit status says the same."""

from __future__ import annotations

import csv
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from penstock import files
from penstock.settings import Settings, find_root
from penstock.spec.sources import Source
from penstock.work import Request
from tests.full_disk import full_disk
from tests.jobs.driver import Driver

JUNE = {"start": "2013-06-01T00:00:00Z", "end": "2013-07-01T00:00:00Z"}


def serve(folder: Path, do: str, *, free: int = resource.RLIM_INFINITY) -> tuple[int, str, Path]:
    """A job's process that does `do`, an expression of its request: its exit status, its words, its outcome's path.

    `free`: the size that no file of it may grow beyond.
    """
    request, outcome = folder / "request.json", folder / "outcome.json"
    request.write_text(Request(stage="train", pipeline="p", run="r", items=[]).model_dump_json())
    code = f"from jobs.common.job import serve; serve('train', lambda request: {do})"
    command = [sys.executable, "-c", code, "--request", str(request), "--outcome", str(outcome)]
    with full_disk(free):
        done = subprocess.run(command, cwd=find_root(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr, outcome


def test_a_job_that_is_done_says_so(tmp_path: Path) -> None:
    """Exit status 0 and an outcome, with nothing beside it in the folder."""
    status, said, outcome = serve(tmp_path, "print('at work')")
    assert (status, said) == (0, "at work\n")
    assert json.loads(outcome.read_bytes())["state"] == "done"
    assert {path.name for path in tmp_path.iterdir()} == {"request.json", "outcome.json"}


def test_a_full_device_is_a_failure_of_the_store(tmp_path: Path) -> None:
    """ENOSPC from whatever a job writes (/dev/full is a device without space): told with what to do, and exit 7."""
    status, said, outcome = serve(tmp_path, "open('/dev/full', 'w', buffering=1).write('x\\n')")
    told = json.loads(outcome.read_bytes())
    assert (status, told["state"], told["kind"], told["exit_code"]) == (7, "failed", "store", 7)
    assert "No space left" in told["message"]
    assert "free space" in told["next_step"]
    assert "Traceback" not in said


def test_a_limit_on_file_sizes_is_too(tmp_path: Path) -> None:
    """EFBIG from the real collect, deep in the Parquet writer: the same failure, and nothing in the store."""
    draw = random.Random(1)
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["n"], *([draw.random()] for _ in range(50_000))])
    var = tmp_path / "var"
    driver = Driver("collect", Settings(find_root(), var, f"file://{var}/store", f"sqlite:///{var}/ml.db"))
    source = TypeAdapter(Source).validate_python(files("things", str(tmp_path / "a.csv")))
    spec = {"source": source.model_dump(mode="json"), "interval": JUNE}
    with full_disk(100_000):
        ran = driver.process(driver.item(spec, subject="things@2013-06-01"), tmp_path)
    assert (ran.status, ran.outcome.kind, ran.outcome.exit_code) == (7, "store", 7), ran.said
    assert ran.result is None
    assert [path for path in (var / "store" / "example").rglob("*") if path.is_file()] == []


def test_what_fails_on_a_full_disk_is_the_stores_failure(tmp_path: Path) -> None:
    """A library without room to unpack itself says only what it then lacks: the disk is looked at, and said."""
    driver = Driver("train", Settings(find_root(), tmp_path, f"file://{tmp_path}/store", "sqlite://"))
    request, outcome = tmp_path / "request.json", tmp_path / "outcome.json"
    request.write_text(
        Request(stage="train", pipeline="p", run="r", items=[driver.item({})]).model_dump_json()
    )
    code = (
        "from jobs.common.job import main\nfrom penstock.errors import UserCodeError\n"
        "def run(work): raise UserCodeError('no class def found')\nmain('train', run)"
    )
    command = [sys.executable, "-c", code, "--request", str(request), "--outcome", str(outcome)]
    environment = {**os.environ, **driver.settings.environment()}
    with full_disk(2_000):
        done = subprocess.run(command, cwd=find_root(), env=environment, check=False)
    told = json.loads(outcome.read_bytes())
    assert (done.returncode, told["kind"]) == (7, "store")
    assert told["message"] == "the disk is full: no class def found"
    assert subprocess.run(command, cwd=find_root(), env=environment, check=False).returncode == 3


@pytest.mark.parametrize("do", ["None", "open('/dev/full', 'w', buffering=1).write('x\\n')"])
def test_without_room_for_the_outcome_there_is_none(tmp_path: Path, do: str) -> None:
    """Done or failed, an outcome that does not fit leaves no half of itself: log and exit status say the disk is full."""
    status, said, outcome = serve(tmp_path, do, free=40)
    assert status == 7
    assert "error: no space or right to write" in said
    assert {path.name for path in tmp_path.iterdir()} == {"request.json"}
    assert not outcome.exists()


def test_what_nobody_foresaw_has_no_outcome(tmp_path: Path) -> None:
    """Another error of the system is a defect: a traceback, and no answer that could be taken for one."""
    status, said, outcome = serve(tmp_path, "open('/no/such/file')")
    assert status == 1
    assert "FileNotFoundError" in said
    assert not outcome.exists()
