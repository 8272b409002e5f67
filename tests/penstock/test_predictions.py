"""The prediction log on its way from a function to Parquet: each row once, in its hour, in its types."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock import predictions
from penstock.errors import PenstockError, StoreError
from penstock.store import Store
from penstock_function.metrics import Metrics
from penstock_function.package import Package
from penstock_function.prediction_log import PredictionLog
from tests.full_disk import NO_BYTECODE, full_disk
from tests.images.function.conftest import INPUTS, RIGHT, default_samples, linear_graph, write_package

HOUR = "20261126T14"
ANSWER = {"prediction": 1, "probability": {"0": 0.25, "1": 0.75}}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A binary function with a column of each type, which logs all it answers."""
    manifest = {
        "format": 1, "name": "delays", "version": "7", "key": "0123abc", "task": "binary", "runtime": "onnx",
        "inputs": INPUTS, "classes": [0, 1], "output": "probability", "tolerance": 1e-6,
        "log": {"pipeline": "flights", "rate": 1, "sensitive": ["carrier"]},
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("package")
    return write_package(folder, manifest, linear_graph("binary"), default_samples(manifest))


def log(package: Path, spool: Path, records: Sequence[dict[str, Any]], key: str | None = "secret") -> None:
    """Log answers to the records as the function does, to the end."""
    made = PredictionLog(Package.load(package), spool / "delays", key, Metrics(lambda: 0))
    made.write(made.sample(lambda: records, [ANSWER] * len(records)), "r-1", 0.002)
    made.close()


def rows(store: Store) -> list[dict[str, Any]]:
    """Every row in the store."""
    paths = sorted(Path(store.root).rglob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def compact(spool: Path, store: Store) -> int:
    """What the command does, in this process."""
    for segment in predictions.complete(spool):
        predictions.compact(segment, store)
    return len(list(spool.glob("*/*")))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(f"file://{tmp_path / 'store'}")


def test_what_is_logged_is_read_as_parquet(package: Path, tmp_path: Path, store: Store) -> None:
    """Every column in its type, at the hour of its rows; the segment is gone."""
    before = datetime.now(UTC)
    log(package, tmp_path / "spool", [RIGHT, dict.fromkeys(RIGHT)])
    after = datetime.now(UTC)
    assert compact(tmp_path / "spool", store) == 0
    [path] = Path(store.root).rglob("*.parquet")
    assert path.parent.relative_to(store.root).as_posix() in {
        at.strftime("flights/_predictions/%Y-%m-%d/%H") for at in (before, after)
    }
    table = pq.read_table(path)
    inputs = pa.struct(
        [
            ("carrier", pa.string()), ("distance", pa.float64()), ("ratio", pa.float32()), ("seats", pa.int64()),
            ("month", pa.int32()), ("holiday", pa.bool_()),
        ]
    )  # fmt: skip
    assert {field.name: field.type for field in table.schema} == {
        "time": pa.timestamp("us", "UTC"), "request_id": pa.string(), "latency": pa.float64(), "function": pa.string(),
        "version": pa.string(), "key": pa.string(), "prediction": pa.int64(), "score": pa.float64(), "inputs": inputs,
    }  # fmt: skip
    first, second = table.to_pylist()
    assert before <= first.pop("time") <= after
    carrier = first["inputs"].pop("carrier")
    assert (len(carrier), int(carrier, 16) > 0) == (64, True)
    assert first == {
        "request_id": "r-1", "latency": 0.002, "function": "delays", "version": "7", "key": "0123abc",
        "prediction": 1, "score": 0.75, "inputs": {name: value for name, value in RIGHT.items() if name != "carrier"},
    }  # fmt: skip
    assert set(second["inputs"].values()) == {None}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(
        st.fixed_dictionaries(
            {
                "carrier": st.none() | st.text(),
                "distance": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
                "ratio": st.none() | st.floats(width=32, allow_nan=False, allow_infinity=False),
                "seats": st.none() | st.integers(-(2**53), 2**53) | st.sampled_from([3.0, -0.0]),
                "month": st.none() | st.integers(-(2**31), 2**31 - 1),
                "holiday": st.none() | st.booleans(),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_record_survives(
    package: Path, tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]
) -> None:
    """Whatever a function answers, its inputs are in Parquet as they were asked, but for the sensitive column."""
    folder = tmp_path_factory.mktemp("any")
    store = Store(f"file://{folder}/store")
    log(package, folder / "spool", records, key=None)
    assert compact(folder / "spool", store) == 0
    found = [row["inputs"] for row in rows(store)]
    assert found == [
        {name: value for name, value in record.items() if name != "carrier"} for record in records
    ]


def test_done_again_nothing_is_there_twice(package: Path, tmp_path: Path, store: Store) -> None:
    """A compaction that was killed before it deleted its segment leaves one that the next one deletes."""
    log(package, tmp_path / "spool", [RIGHT] * 3)
    [segment] = predictions.complete(tmp_path / "spool")
    shutil.copy(segment, tmp_path / "copy")
    first = predictions.compact(segment, store)
    shutil.move(tmp_path / "copy", segment)
    assert predictions.compact(segment, store) == first
    assert not segment.exists()
    assert len(rows(store)) == 3


def test_what_is_being_written_is_left_alone(package: Path, tmp_path: Path, store: Store) -> None:
    """As long as its writer lives a segment is nobody else's, and then all of it is taken."""
    made = PredictionLog(Package.load(package), tmp_path / "spool" / "delays", None, Metrics(lambda: 0))
    made.write(made.sample(lambda: [RIGHT], [ANSWER]), None, 0.1)
    made._spool._flush()
    [segment] = (tmp_path / "spool").glob("*/*")
    assert segment.stat().st_size
    assert predictions.complete(tmp_path / "spool") == []
    assert predictions.compact(segment, store) is None
    made.write(made.sample(lambda: [RIGHT], [ANSWER]), None, 0.1)
    made.close()
    assert compact(tmp_path / "spool", store) == 0
    assert len(rows(store)) == 2


def test_a_writer_that_was_killed(package: Path, tmp_path: Path, store: Store) -> None:
    """Half a line at the end is no row; half a header, or no rows at all, no file. None of them stays."""
    log(package, tmp_path / "spool", [RIGHT] * 2)
    [segment] = predictions.complete(tmp_path / "spool")
    whole = segment.read_bytes()
    header, *_ = whole.splitlines(keepends=True)
    segment.write_bytes(whole[:-10])
    segment.with_name(f"{HOUR}-half.jsonl").write_bytes(header[:30])
    segment.with_name(f"{HOUR}-none.jsonl").write_bytes(header)
    assert compact(tmp_path / "spool", store) == 0
    assert len(rows(store)) == 1
    assert len(list(Path(store.root).rglob("*.parquet"))) == 1


def test_a_segment_not_yet_begun_is_its_writers(tmp_path: Path, store: Store) -> None:
    """Between the file and its lock there is a moment: an empty one is not touched."""
    folder = tmp_path / "spool" / "delays"
    folder.mkdir(parents=True)
    (folder / f"{HOUR}-new.jsonl").touch()
    assert predictions.complete(tmp_path / "spool") == []
    assert predictions.compact(folder / f"{HOUR}-new.jsonl", store) is None
    assert (folder / f"{HOUR}-new.jsonl").exists()


def test_all_columns_may_be_sensitive(package: Path, tmp_path: Path, store: Store) -> None:
    """Then the inputs are no column, and the rest is there."""
    manifest = json.loads((package / "function.json").read_text())
    manifest["log"]["sensitive"] = list(RIGHT)
    hidden = shutil.copytree(package, tmp_path / "hidden")
    (hidden / "function.json").write_text(json.dumps(manifest))
    log(hidden, tmp_path / "spool", [RIGHT], key=None)
    assert compact(tmp_path / "spool", store) == 0
    [row] = rows(store)
    assert "inputs" not in row
    assert row["score"] == 0.75


def command(spool: Path, store: str) -> subprocess.CompletedProcess[str]:
    """The real command."""
    arguments = [sys.executable, "-m", "penstock.predictions", "--spool", str(spool), "--store", store]
    environment = {**os.environ, **NO_BYTECODE}
    return subprocess.run(
        arguments, capture_output=True, text=True, env=environment, timeout=300, check=False
    )


@pytest.mark.parametrize(
    "damage",
    [b"no json\n{}\n", b'{"format": 2}\n{}\n', b"{}\n{}\n", None],
    ids=["no JSON", "another format", "no header", "a row of another form"],
)
def test_a_damaged_segment_is_set_aside(
    package: Path, tmp_path: Path, store: Store, damage: bytes | None
) -> None:
    """It is said, with what to do, and keeps no other from being taken."""
    log(package, tmp_path / "spool", [RIGHT])
    [segment] = predictions.complete(tmp_path / "spool")
    header = segment.read_bytes().splitlines(keepends=True)[0]
    bad = segment.with_name("19700101T00-bad.jsonl")
    bad.write_bytes(damage or header + b'{"time": "soon"}\n')
    done = command(tmp_path / "spool", store.uri)
    assert done.returncode == PenstockError.exit_code
    assert "19700101T00-bad.jsonl cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "spool").glob("*/*")] == ["19700101T00-bad.damaged"]
    assert len(rows(store)) == 1


def test_a_store_that_takes_nothing_costs_nothing(package: Path, tmp_path: Path, store: Store) -> None:
    """On a full disk the error is the store's, the segment stays, and later it is taken."""
    log(package, tmp_path / "spool", [RIGHT])
    [segment] = predictions.complete(tmp_path / "spool")
    with full_disk(100), pytest.raises(StoreError):
        predictions.compact(segment, store)
    assert segment.exists()
    assert compact(tmp_path / "spool", store) == 0
    assert len(rows(store)) == 1


def take(spool: Path, uri: str) -> int:
    """Compact in a process of its own."""
    return compact(spool, Store(uri))


def test_two_at_once_take_each_row_once(package: Path, tmp_path: Path, store: Store) -> None:
    """Processes that compact one folder at the same time leave each row there once, and no segment."""
    for _ in range(12):
        log(package, tmp_path / "spool", [RIGHT])
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.starmap(take, [(tmp_path / "spool", store.uri)] * 3)
    assert list((tmp_path / "spool").glob("*/*")) == []
    assert len(rows(store)) == 12
