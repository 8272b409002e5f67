"""The process: `python -m jobs.collect` keeps the job contract, and a failure leaves nothing behind."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo.flights import prepare
from jobs.collect.batches import Batch
from jobs.collect.run import run
from jobs.collect.spool import Spool
from jobs.common.job import Done, Work
from penstock import connections, files, table
from tests.jobs.driver import Driver


def test_a_real_month(driver: Driver, item_of, tmp_path: Path) -> None:
    """June's flights: rows, range, types and null counts as the files have them, by the process the operator starts."""
    prepare(driver.settings.var)
    source = files("flights", "{{ var }}/data/flights/{{ interval }}/*.csv.gz", time="time_hour")
    ran = driver.process(item_of(source), tmp_path)
    assert ran.status == 0, ran.said
    result = ran.result
    assert result is not None
    assert result.subject == "flights@2013-06-01"
    assert result.outputs == ["data.parquet"]
    summary = result.summary
    assert (summary["rows"], summary["dropped"]) == (28_231, 0)
    assert summary["time_min"] == "2013-06-01T00:00:00+00:00"
    assert summary["time_max"] == "2013-06-30T23:00:00+00:00"
    assert summary["columns"]["dep_delay"] == "long"
    assert summary["nulls"]["arr_delay"] == 1156
    data = pq.read_table(f"{driver.settings.var}/store/{result.path}/data.parquet")
    assert data.num_rows == 28_231
    assert set(data["origin"].unique().to_pylist()) == {"EWR", "JFK", "LGA"}
    assert "[progress] flights@2013-06-01 written 28231/28231" in ran.said


def test_a_second_process_finds_it_done(driver: Driver, item_of, tmp_path: Path) -> None:
    """The same key is not collected twice."""
    (tmp_path / "a.csv").write_text("n\n1\n")
    item = item_of(files("things", str(tmp_path / "a.csv")))
    first, second = driver.process(item, tmp_path), driver.process(item, tmp_path)
    assert first.result == second.result
    assert "is there already" in second.said


def test_bad_data_ends_with_its_exit_status(driver: Driver, item_of, tmp_path: Path) -> None:
    """The outcome says what, where and what to do; neither a result nor half a file is left."""
    (tmp_path / "a.csv").write_text("n\nx\n")
    ran = driver.process(item_of(files("things", str(tmp_path / "a.csv"), columns={"n": "long"})), tmp_path)
    assert (ran.status, ran.outcome.state, ran.outcome.kind) == (4, "failed", "data")
    assert ran.outcome.message is not None
    assert "a.csv, row 1, column 'n': found 'x'" in ran.outcome.message
    assert ran.outcome.next_step
    assert ran.result is None
    assert _left(driver) == []


def test_a_traceback_shows_no_password(driver: Driver, item_of, tmp_path: Path) -> None:
    """With PENSTOCK_DEBUG the traceback is printed: what a driver put into its own error stays out of it."""
    connections.save("shop", "postgresql+nosuch://reader:s3cret@db.example/shop", driver.settings.var)
    item = item_of(table("sales", connection="shop", query="select 1"))
    ran = driver.process(item, tmp_path, environment={"PENSTOCK_DEBUG": "1"})
    assert ran.outcome.kind == "source-unavailable"
    assert "Traceback" in ran.said
    assert "s3cret" not in ran.said + json.dumps(ran.outcome.model_dump())


def test_a_full_disk_is_the_systems_word(driver: Driver, item_of, tmp_path: Path) -> None:
    """Writing the result to a full device raises the system's own error, which the job contract names; nothing
    reaches the store. (/dev/full is a device without space.)"""
    (tmp_path / "a.csv").write_text("n\n" + "1\n" * 100_000)
    scratch = tmp_path / "scratch"

    def on_a_full_disk(work: Work) -> Done:
        (scratch / "data.parquet").symlink_to("/dev/full")
        return run(work)

    with pytest.raises(OSError, match="No space left") as refused:
        driver.here(on_a_full_disk, item_of(files("things", str(tmp_path / "a.csv"))), scratch)
    assert refused.value.errno == errno.ENOSPC
    assert _left(driver) == []


def test_a_disk_that_fills_while_reading_is_the_systems_word(tmp_path: Path) -> None:
    """The raw rows too: what could not be written is not taken for read."""
    spool = Spool(tmp_path / "raw")
    (tmp_path / "raw" / "000001.arrow").symlink_to("/dev/full")
    rows = pa.RecordBatch.from_pydict({"n": list(range(100_000))})
    with pytest.raises(OSError, match="No space left") as refused, spool.part() as writer:
        writer.write(Batch("a.csv", 1, rows))
    assert refused.value.errno == errno.ENOSPC
    assert list(spool.batches()) == []


def _left(driver: Driver) -> list[Path]:
    """Files of the pipeline in the store."""
    return [path for path in (driver.settings.var / "store" / "example").rglob("*") if path.is_file()]
