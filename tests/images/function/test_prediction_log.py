"""The prediction log: what is logged of an answer, which of them, and that no request suffers from it."""

from __future__ import annotations

import fcntl
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock_function import spool
from penstock_function.package import Package, PackageError
from penstock_function.service import Service
from tests.full_disk import full_disk
from tests.images.function.conftest import Client
from tests.images.function.test_openwhisk import init_body, run_body
from tests.penstock.host.harness import until

LOG = {"pipeline": "flights", "rate": 1.0, "sensitive": ["carrier", "seats"]}


class Logging:
    """Services that log into one folder; reading it ends them."""

    def __init__(self, folder: Path, make_package: Callable[..., Path]) -> None:
        self.folder = folder
        self._make = make_package
        self._services: list[Service] = []

    def client(self, key: str | None = None, **changes: Any) -> Client:
        """The whole app over a package that asks for a log."""
        service = Service(spool=self.folder, log_key=key)
        service.serve(Package.load(self._make(**{"log": LOG, **changes})))
        self._services.append(service)
        return Client(service)

    def close(self) -> None:
        """What an end of the process does."""
        for service in self._services:
            service.close()
        self._services.clear()

    def segments(self) -> list[list[dict[str, Any]]]:
        """Every segment, a value a line."""
        self.close()
        return [
            [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted(self.folder.glob("*"))
        ]

    def rows(self) -> list[dict[str, Any]]:
        """Every row of every segment."""
        return [row for _, *rows in self.segments() for row in rows]


@pytest.fixture
def logging(tmp_path: Path, make_package: Callable[..., Path]) -> Iterator[Logging]:
    """A folder to log into, and services that do."""
    made = Logging(tmp_path / "spool", make_package)
    yield made
    made.close()


def logged(client: Client) -> dict[str, float]:
    """Rows of the log by what became of them, as /metrics has it."""
    found = re.findall(
        r'^penstock_logged_rows_total\{outcome="(\w+)"\} (.*)$', client.get("/metrics").text, re.M
    )
    return {outcome: float(rows) for outcome, rows in found if float(rows)}


def test_a_row_says_what_was_asked_and_answered(logging: Logging, right: dict[str, Any]) -> None:
    """Inputs, prediction and score, the request's id, when it was answered and how long that took."""
    before = time.time()
    client = logging.client(log={**LOG, "sensitive": []})
    answer = client.post("/predict", json=right, headers={"x-request-id": "r-1"}).json()
    [[header, row]] = logging.segments()
    after = time.time()
    assert header == {
        "format": 1, "pipeline": "flights", "name": "delays", "version": "7", "key": "0123abc", "prediction": "long",
        "inputs": json.loads((logging._make() / "function.json").read_text())["inputs"],
    }  # fmt: skip
    assert row["row"] == {"prediction": 1, "score": answer["probability"]["1"], "inputs": right}
    assert row["request_id"] == "r-1"
    assert before <= row["time"] / 1e6 <= after
    assert 0 < row["latency"] <= after - before


def test_every_protocol_is_logged(logging: Logging, right: dict[str, Any]) -> None:
    """One record, many, explained, an odd one that takes the long way, v2's tensors, OpenWhisk's value: the same rows."""
    client = logging.client(log={**LOG, "sensitive": []}, reference=right)
    client.post("/predict", json=right)
    client.post("/predict", json=[right, right])
    client.post("/predict", json={"records": [right]})
    client.post("/predict?explain=true", json=right)
    client.post("/predict", json={**right, "seats": 2.0})
    tensors = [
        {"name": name, "shape": [1], "data": [value], "datatype": datatype}
        for (name, value), datatype in zip(
            right.items(), ("BYTES", "FP64", "FP32", "INT64", "INT32", "BOOL"), strict=True
        )
    ]
    client.post("/v2/models/delays/infer", json={"inputs": tensors})
    client.post("/init", json=init_body())
    client.post("/run", json=run_body(right))
    rows = logging.rows()
    assert [row["row"]["inputs"] for row in rows] == [right] * 8
    assert {json.dumps(row["row"]) for row in rows} == {json.dumps(rows[0]["row"])}
    assert [row["request_id"] for row in rows] == [None] * 7 + [run_body(right)["activation_id"]]


def test_a_column_has_one_type(logging: Logging, right: dict[str, Any]) -> None:
    """A number is logged in its column's type however it was written, null as null."""
    client = logging.client(log={**LOG, "sensitive": []})
    client.post("/predict", json={**right, "seats": 2.0, "distance": 3, "month": None})
    [row] = logging.rows()
    inputs = row["row"]["inputs"]
    assert (type(inputs["seats"]), type(inputs["distance"]), inputs["month"]) == (int, float, None)


@pytest.mark.parametrize(
    ("changes", "kind", "prediction", "score"),
    [
        ({"task": "regression"}, "double", 7.75, 7.75),
        ({"output": "prediction"}, "long", 1, None),
        ({"classes": ["early", "late"], "output": "prediction"}, "string", "late", None),
    ],
)
def test_the_score_follows_the_task(
    logging: Logging, right: dict[str, Any], changes: dict[str, Any], kind: str, prediction: Any, score: Any
) -> None:
    """A regression's score is its prediction; classes without probabilities have none."""
    logging.client(**changes).post("/predict", json=right)
    [[header, row]] = logging.segments()
    assert header["prediction"] == kind
    assert (row["row"]["prediction"], row["row"]["score"]) == (prediction, score)


def test_sensitive_columns_are_left_out(logging: Logging, right: dict[str, Any]) -> None:
    """Without a key nothing of them is in the segment, not even a name."""
    logging.client().post("/predict", json=right)
    [[header, row]] = logging.segments()
    assert [column["name"] for column in header["inputs"]] == ["distance", "ratio", "month", "holiday"]
    assert list(row["row"]["inputs"]) == ["distance", "ratio", "month", "holiday"]
    assert "AA" not in next(logging.folder.iterdir()).read_text()


def test_sensitive_columns_are_hashed_with_a_key(logging: Logging, right: dict[str, Any]) -> None:
    """With one they are HMAC-SHA256 of column and value: equal values are equal, and all else needs the key."""
    for key in ("secret", "another"):
        client = logging.client(key)
        client.post(
            "/predict", json=[right, {**right, "seats": 2.0}, {**right, "seats": None, "carrier": "DL"}]
        )
        logging.close()
    [one, same, other, *rest] = [row["row"]["inputs"] for row in logging.rows()]
    expected = {hmac.new(key, b'["carrier","AA"]', "sha256").hexdigest() for key in (b"secret", b"another")}
    assert {one["carrier"], rest[0]["carrier"]} == expected
    assert one == same
    assert other["seats"] is None
    assert other["carrier"] != one["carrier"]
    assert [set(given.values()) & {"AA", "DL", 2} for given in (one, other)] == [set(), set()]
    [header, *_] = logging.segments()[0]
    assert {column["name"]: column["type"] for column in header["inputs"]}["seats"] == "string"


def test_refused_requests_are_not_logged(logging: Logging, right: dict[str, Any]) -> None:
    """What got no answer is no prediction."""
    client = logging.client()
    client.post("/predict", json={**right, "carrier": "nobody"})
    client.post("/predict", content=b"{")
    assert logging.segments() == []
    assert logged(client) == {}


def test_about_its_share_is_logged(logging: Logging, right: dict[str, Any]) -> None:
    """Each row is drawn alone, within a request too; the rest leaves nothing behind."""
    client = logging.client(log={**LOG, "rate": 0.25})
    client.post("/predict", json=[right] * 4000)
    rows = len(logging.rows())
    assert 800 < rows < 1200  # eight standard deviations
    assert logged(client) == {"written": rows}


@pytest.mark.parametrize("changes", [{"log": None}, {}])
def test_nothing_is_logged_unasked(
    logging: Logging, make_package: Callable[..., Path], right: dict[str, Any], changes: dict[str, Any]
) -> None:
    """It takes both: a package that asks for it, and a folder."""
    service = Service(spool=logging.folder if changes else None)
    service.serve(Package.load(make_package(**{"log": LOG, **changes})))
    assert Client(service).post("/predict", json=right).status_code == 200
    service.close()
    assert not logging.folder.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0},
        {"rate": 1.5},
        {"rate": True},
        {"pipeline": "../etc"},
        {"sensitive": ["carier"]},
        {"sensitive": "carrier"},
        {"more": 1},
    ],
)
def test_a_wrong_log_is_refused(make_package: Callable[..., Path], change: dict[str, Any]) -> None:
    """A package whose log is not what it must be never serves: a misspelt sensitive column would be logged."""
    with pytest.raises(PackageError, match="log is"):
        Package.load(make_package(log={**LOG, **change}))


# -- the spool ---------------------------------------------------------------------------------------------------


def test_a_segment_holds_one_hour(
    logging: Logging, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of two hours are in two segments, each named after its hour (UTC)."""
    client = logging.client()
    for hour in (10, 11):
        monkeypatch.setattr(time, "time", lambda hour=hour: hour * 3600.0 + 1)
        client.post("/predict", json=[right, right])
    logging.close()
    found = sorted(path.name.partition("-")[0] for path in logging.folder.iterdir())
    assert found == ["19700101T10", "19700101T11"]
    assert [len(segment) for segment in logging.segments()] == [3, 3]


def test_a_segment_has_a_bound(
    logging: Logging, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its size a new one begins, and no row is lost between them."""
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    logging.client().post("/predict", json=[right] * 50)
    segments = logging.segments()
    assert len(segments) > 5
    assert sum(len(segment) - 1 for segment in segments) == 50
    assert all(path.stat().st_size < 1500 for path in logging.folder.iterdir())


@pytest.mark.parametrize(("bound", "value"), [("SPOOL_BYTES", 3000), ("SPOOL_SEGMENTS", 3)])
def test_a_full_spool_drops_and_counts(
    logging: Logging,
    right: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    bound: str,
    value: int,
) -> None:
    """What nobody takes away stays within its bounds; what is dropped is counted and said, and answers go on."""
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    monkeypatch.setattr(spool, bound, value)
    client = logging.client()
    for _ in range(2):
        assert client.post("/predict", json=[right] * 50).status_code == 200
    logging.close()
    counts = logged(client)
    assert counts["written"] + counts["full"] == 100
    assert len(logging.rows()) == counts["written"]
    assert sum(path.stat().st_size for path in logging.folder.iterdir()) < 4500
    assert "is full: nobody takes its segments away" in capfd.readouterr().err


def test_what_waits_has_a_bound(
    logging: Logging, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that come faster than they are written are dropped and counted."""
    monkeypatch.setattr(spool, "PENDING_BYTES", 1000)
    client = logging.client()
    client.post("/predict", json=[right] * 50)
    client.post("/predict", json=right)
    assert len(logging.rows()) == 1
    assert logged(client) == {"backlog": 50, "written": 1}


def test_a_folder_that_cannot_be_written_costs_rows_alone(
    logging: Logging, right: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """The function answers, counts, says it once, and logs again once it can."""
    logging.folder.write_text("in the way")
    client = logging.client()
    assert client.post("/predict", json=right).status_code == 200
    logging.close()
    assert logged(client) == {"disk": 1}
    assert capfd.readouterr().err.count("prediction_log_failed") == 1
    logging.folder.unlink()
    logging.client().post("/predict", json=right)
    assert len(logging.rows()) == 1


def test_a_full_disk_costs_rows_alone(logging: Logging, right: dict[str, Any]) -> None:
    """What fits is written, the line that does not is taken back, the others are counted, and answers go on."""
    client = logging.client()
    with full_disk(2000):
        assert client.post("/predict", json=[right] * 50).status_code == 200
        logging.close()
    counts = logged(client)
    assert counts["written"] + counts["disk"] == 50
    assert counts["written"] > 0
    assert len(logging.rows()) == counts["written"]


def test_an_hour_that_is_over_ends_its_segment(
    logging: Logging, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another request too: then its lock is free, which says that it may be taken away."""
    monkeypatch.setattr(spool, "EVERY_SECONDS", 0.01)
    client = logging.client()
    client.post("/predict", json=right)
    until(lambda: logged(client) == {"written": 1}, "the row is written")
    [path] = logging.folder.iterdir()
    assert not free(path)
    over = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: over)
    until(lambda: free(path), "the segment is complete")


def free(path: Path) -> bool:
    """Whether nobody holds the segment's lock."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
