"""The function over HTTP: right requests are answered, wrong ones refused precisely, nothing ends in a 500."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from onnx import TensorProto, helper

from penstock.host.manifest import read_manifest
from penstock_function import exchange
from penstock_function.app import MAX_BODY, build
from penstock_function.package import Package, PackageError
from penstock_function.service import INLINE_BODY, MAX_LARGE, MAX_RECORDS, Service
from tests.images.function.conftest import OPSETS, Client, MakePackage


def test_one_record_gets_one_answer(client: Any, right: dict[str, Any]) -> None:
    """An object is one record; the answer says which model gave it, in the body and the header."""
    response = client.post("/predict", json=right)
    assert response.status_code == 200
    assert response.headers["x-penstock-version"] == "7"
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["name", "version", "prediction", "probability"]
    assert (answer["name"], answer["version"], answer["prediction"]) == ("delays", "7", 1)


@pytest.mark.parametrize("wrap", [lambda records: records, lambda records: {"records": records}])
def test_many_records_get_many_answers(
    client: Any, right: dict[str, Any], wrap: Callable[[Any], Any]
) -> None:
    """An array, bare or under `records`, is answered in order."""
    response = client.post("/predict", json=wrap([right, {**right, "distance": -50.0}]))
    answer = response.json()
    assert list(answer) == ["name", "version", "predictions"]
    assert [entry["prediction"] for entry in answer["predictions"]] == [1, 0]


def test_a_large_body_is_answered_off_the_event_loop(client: Any, right: dict[str, Any]) -> None:
    """A body over the inline bound takes the other way and gets the same answers."""
    records = [right] * 2000
    assert len(json.dumps(records)) > INLINE_BODY
    answers = client.post("/predict", json=records).json()["predictions"]
    assert answers == client.post("/predict", json=[right]).json()["predictions"] * 2000


def test_too_many_large_bodies_are_turned_away(client: Any, right: dict[str, Any]) -> None:
    """Those in work are answered, the others told to come again, at once; small ones are answered meanwhile."""

    async def flood() -> list[httpx.Response]:
        large, transport = [right] * 20_000, httpx.ASGITransport(build(client.service))
        async with httpx.AsyncClient(transport=transport, base_url="http://function", timeout=60) as caller:
            calls = [caller.post("/predict", json=large) for _ in range(3 * MAX_LARGE)]
            return list(await asyncio.gather(*calls, caller.post("/predict", json=right)))

    *answers, small = asyncio.run(flood())
    assert small.status_code == 200
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * MAX_LARGE + [503] * 2 * MAX_LARGE
    assert {answer.headers["retry-after"] for answer in answers if answer.status_code == 503} == {"1"}
    assert 'penstock_errors_total{kind="busy"} 8.0' in client.get("/metrics").text
    assert "penstock_large_requests 0.0" in client.get("/metrics").text


@pytest.mark.parametrize("many", [MAX_RECORDS, MAX_RECORDS + 1])
@pytest.mark.parametrize("column", ["x", "{"])
def test_the_records_of_a_request_are_bounded(
    make_package: Callable[..., Path], many: int, column: str
) -> None:
    """As many as are allowed are answered, one more is a 413 that says how many may be, by each protocol."""
    client = Client(identity(make_package, column))
    client.post("/init", json={"value": {}})
    tensor = {"name": column, "datatype": "FP64", "shape": [many], "data": [1] * many}
    records = [{column: 1}] * many
    for path, body in {
        "/predict": records,
        "/v2/models/delays/infer": {"inputs": [tensor], "outputs": [{"name": "prediction"}]},
        "/run": {"value": {"records": records}},
    }.items():
        response = client.post(path, content=json.dumps(body, separators=(",", ":")))
        answered = many == MAX_RECORDS
        assert response.status_code == (200 if answered or path == "/run" else 413)
        assert (f"at most {MAX_RECORDS} are scored in one request" in response.text) != answered


def identity(make_package: Callable[..., Path], column: str) -> Service:
    """A function of one column that answers with its value, so that many records are few bytes."""
    graph = helper.make_graph(
        [helper.make_node("Identity", [column], ["prediction"])],
        "identity",
        [helper.make_tensor_value_info(column, TensorProto.DOUBLE, ["N"])],
        [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["N"])],
    )
    service = Service()
    service.serve(
        Package.load(
            make_package(
                task="regression",
                inputs=[{"name": column, "type": "double"}],
                model=helper.make_model(graph, opset_imports=OPSETS, ir_version=10).SerializeToString(),
                samples={"records": [{column: 1.0}], "answers": [{"prediction": 1.0}]},
            )
        )
    )
    return service


def test_a_column_named_records_is_a_column(make_package: Callable[..., Path]) -> None:
    """A model with a column of that name reads an object as one record, not as a wrapper."""
    service = Service()
    service.serve(Package.load(make_package()))
    # The graph has no such column, so only what the body is taken for is looked at.
    service._wraps = False
    with pytest.raises(Exception, match="field 'carrier': found no such field"):
        service.predict({"records": []})


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "the body is empty"),
        (b"{", 400, "not JSON"),
        (b'{"carrier": NaN}', 400, "NaN and Infinity are not JSON, send null"),
        (b'{"distance": -Infinity}', 400, "NaN and Infinity are not JSON"),
        (b'{"distance": 1e999}', 400, "not JSON"),
        (b"\xff\xfe{}", 400, "not JSON"),
        (b'{"carrier": "\xff"}', 400, "not JSON"),
        (b'{"carrier": "\\ud800"}', 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400, "not JSON"),
        (b"\x1f\x8b\x08\x00", 400, "not JSON"),
        (b"null", 422, "found null"),
        (b"3", 422, "found 3"),
        (b'"AA"', 422, "found the string 'AA'"),
        (b"[]", 422, "an empty array, expected at least one record"),
        (b'{"records": []}', 422, "an empty array"),
        (b'{"records": {}}', 422, "an object with 0 fields"),
        (b'{"records": [], "x": 1}', 422, "the field 'x' beside `records`"),
        (b"[1, null, []]", 422, "row 0: found 1, expected an object"),
        (b"{}", 422, "row 0, field 'carrier': found no such field, expected a string or null"),
        (b"[[[[]]]]", 422, "an array of 1 values"),
    ],
    ids=range(21),
)
def test_a_wrong_body_is_refused_precisely(client: Any, body: bytes, status: int, error: str) -> None:
    """Each kind of wrong body gets its status and a sentence that says what is wrong with it."""
    response = client.post("/predict", content=body)
    assert response.status_code == status
    assert error in response.json()["error"]


def test_faults_name_their_fields(client: Any, right: dict[str, Any]) -> None:
    """Three faults in two records come together, each with row, field, found and expected."""
    records = [{**right, "seats": 1.5, "holiday": "no"}, {**right, "carrier": 7}]
    response = client.post("/predict", json=records)
    assert response.status_code == 422
    faults = response.json()["faults"]
    assert [(fault["row"], fault["field"], fault["found"]) for fault in faults] == [
        (0, "seats", "1.5"),
        (0, "holiday", "the string 'no'"),
        (1, "carrier", "7"),
    ]
    assert all(fault["expected"] for fault in faults)


def test_an_unseen_category_names_its_column(client: Any, right: dict[str, Any]) -> None:
    """What the model itself refuses is a 422 on the column, with the value that it does not know."""
    response = client.post("/predict", json={**right, "carrier": "nobody"})
    assert response.status_code == 422
    [fault] = response.json()["faults"]
    assert fault["field"] == "carrier"
    assert fault["found"] == "the string 'nobody': null or unseen category"


def test_a_body_over_the_bound_is_refused(client: Any) -> None:
    """One byte too many is a 413 that states the bound."""
    response = client.post("/predict", content=b" " * (MAX_BODY + 1))
    assert response.status_code == 413
    assert str(MAX_BODY) in response.json()["error"]


def test_an_unstated_length_is_bounded_as_it_comes(client: Any) -> None:
    """A chunked body without end is refused once it passes the bound, not when it ends."""
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 2**16
            yield b" " * 2**16

    assert client.post("/predict", content=endless()).status_code == 413
    assert sent <= MAX_BODY + 2**17


def test_a_body_in_pieces_is_put_together(client: Any, right: dict[str, Any]) -> None:
    """A record that arrives byte by byte is answered as one that arrives at once."""

    async def pieces() -> Any:
        for byte in json.dumps(right).encode():
            yield bytes([byte])

    assert client.post("/predict", content=pieces()).json() == client.post("/predict", json=right).json()


@pytest.mark.parametrize("sent", [[b"{"], []])
def test_a_body_that_never_ends_is_cut_off(
    client: Any, monkeypatch: pytest.MonkeyPatch, sent: list[bytes]
) -> None:
    """A client that stops sending, or never begins, gets a 408 after the stated time, not a connection for ever."""
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.05)

    async def stuck() -> Any:
        for piece in sent:
            yield piece
        await asyncio.sleep(60)

    response = client.post("/predict", content=stuck())
    assert response.status_code == 408
    assert response.headers["connection"] == "close"
    assert "0.05 seconds" in response.json()["error"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=x"]
)
def test_the_content_type_does_not_matter(client: Any, right: dict[str, Any], kind: str) -> None:
    """curl -d says a form: what the body is decides, not what it is called."""
    response = client.post("/predict", content=json.dumps(right), headers={"content-type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("PUT", "/predict", 405),
        ("POST", "/health", 405),
        ("GET", "/", 404),
        ("POST", "/predict/", 404),
        ("POST", "/predict//", 404),
        ("GET", "/%00", 404),
        ("GET", "/docs/é☃", 404),
    ],
)
def test_other_paths_and_methods_are_refused_in_json(
    client: Any, method: str, path: str, status: int
) -> None:
    """An unknown path or method is a 404 or 405 with one sentence, like every other error."""
    response = client.request(method, path)
    assert response.status_code == status
    assert "is not served" in response.json()["error"]


def test_health_names_the_model(client: Any, make_package: MakePackage) -> None:
    """A proven function is ready and says which model it is, by the revision that every target knows it by."""
    _, revision = read_manifest(make_package())
    response = client.get("/health")
    told = {"status": "ready", "name": "delays", "version": "7", "revision": revision, "key": "0123abc"}
    assert (response.status_code, response.json()) == (200, told)


def test_nothing_is_served_before_a_package(empty_client: Any, right: dict[str, Any]) -> None:
    """Without a package every answer is a 503 that says what is waited for."""
    assert empty_client.get("/health").status_code == 503
    assert "waiting for POST /init" in empty_client.get("/health").json()["reason"]
    assert empty_client.post("/predict", json=right).status_code == 503
    assert empty_client.get("/openapi.json").status_code == 503


def test_a_package_that_proves_nothing_never_answers(
    empty_client: Any, make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """After a failed proof the function stays unready, with the sample that failed as its reason."""
    samples = {"records": [right], "answers": [{"prediction": 0, "probability": {"0": 1.0, "1": 0.0}}]}
    with pytest.raises(PackageError):
        empty_client.service.serve(Package.load(make_package(samples=samples)))
    assert "sample 0 does not prove" in empty_client.get("/health").json()["reason"]
    assert empty_client.post("/predict", json=right).status_code == 503


def test_metrics_count_what_happened(client: Any, right: dict[str, Any]) -> None:
    """Requests by status, rows, errors by kind, the latency and the model are all there for Prometheus."""
    client.post("/predict", json=[right] * 3)
    client.post("/predict", json=right)
    client.post("/predict", content=b"{")
    text = client.get("/metrics").text
    for line in (
        'penstock_requests_total{path="/predict",status="200"} 2.0',
        'penstock_requests_total{path="/predict",status="400"} 1.0',
        "penstock_rows_sum 4.0",
        'penstock_rows_bucket{le="1.0"} 1.0',
        'penstock_score_bucket{le="0.9"} 0.0',
        'penstock_score_bucket{le="1.0"} 4.0',
        'penstock_errors_total{kind="json"} 1.0',
        'penstock_request_seconds_count{path="/predict"} 3.0',
        'penstock_model_info{key="0123abc",name="delays",version="7"} 1.0',
    ):
        assert line in text


def test_a_regressions_scores_spread_as_sparks_answers(
    make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """The bounds are tenths of the samples' answers; what lies beyond all of them counts too."""
    service = Service()
    service.serve(Package.load(make_package(task="regression")))
    client = Client(service)
    for distance in (0.5, -1e6, 1e6):
        assert client.post("/predict", json={**right, "distance": distance}).status_code == 200
    text = client.get("/metrics").text
    assert 'penstock_score_bucket{le="-1.0"} 1.0' in text
    assert 'penstock_score_bucket{le="7.75"} 2.0' in text
    assert 'penstock_score_bucket{le="+Inf"} 3.0' in text


def test_a_broken_model_is_a_500_and_the_next_request_is_served(
    client: Any, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """When the model itself fails the client is told, the log has the traceback, and the function goes on.

    The caller's own id and its trace are in the reply and in the log.
    """
    ids = {"x-request-id": "r-17", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

    def fail(*_: Any) -> Any:
        raise RuntimeError("the graph broke")

    with monkeypatch.context() as patch:
        patch.setattr(client.service._scorer, "answer", fail)
        response = client.post("/predict", json=right, headers=ids)
    assert (response.status_code, response.json()) == (500, {"error": "the model failed: RuntimeError"})
    logged = json.loads(capfd.readouterr().err)
    assert logged["error"] == "the graph broke"
    assert ids.items() <= logged.items()
    assert ids.items() <= dict(response.headers).items()
    assert client.post("/predict", json=right).status_code == 200


def test_the_page_needs_no_other_server(client: Any) -> None:
    """The page loads nothing from elsewhere, asks by relative paths, and its policy forbids anything else."""
    response = client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert not re.search(r"""(src|href)=["'](https?:)?/""", response.text)
    assert "http://" not in response.text
    assert "https://" not in response.text
    assert 'fetch("openapi.json")' in response.text
