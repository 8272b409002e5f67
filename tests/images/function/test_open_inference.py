"""The Open Inference Protocol: as JSON and as bytes, what is told of the model, and what is refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_function.package import Package
from penstock_function.service import Service
from tests.images.function.conftest import Client

LENGTH = "inference-header-content-length"
INFER = "/v2/models/delays/infer"
TYPES = {
    "carrier": "BYTES", "distance": "FP64", "ratio": "FP32", "seats": "INT64", "month": "INT32", "holiday": "BOOL",
}  # fmt: skip


def tensors(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records as the protocol's JSON has them."""
    return [
        {
            "name": name,
            "datatype": kind,
            "shape": [len(records)],
            "data": [record[name] for record in records],
        }
        for name, kind in TYPES.items()
    ]


def in_bytes(records: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bytes]:
    """Records by the binary extension: descriptions, and the bytes after them."""
    described, tail = [], b""
    for name, kind in TYPES.items():
        values = [record[name] for record in records]
        if kind == "BYTES":
            data = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in values)
        else:
            dtype = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4", "BOOL": "?"}[kind]
            data = np.array([np.nan if value is None else value for value in values]).astype(dtype).tobytes()
        tail += data
        described.append(
            {
                "name": name,
                "datatype": kind,
                "shape": [len(records), 1],
                "parameters": {"binary_data_size": len(data)},
            }
        )
    return described, tail


def post(client: Any, request: dict[str, Any], tail: bytes = b"", path: str = INFER) -> Any:
    """An infer request; with a tail its JSON is followed by it."""
    head = json.dumps(request).encode()
    return client.post(path, content=head + tail, headers={LENGTH: str(len(head))} if tail else {})


def test_the_same_answers_as_predict(client: Any, right: dict[str, Any]) -> None:
    """Rows in order; the class and its probabilities as tensors; the model's name and version, and the request's id."""
    records = [right, {**right, "distance": -50.0}, {**right, "distance": None, "holiday": None}]
    expected = client.post("/predict", json=records).json()["predictions"]
    response = post(client, {"id": "a1", "inputs": tensors(records)})
    assert response.status_code == 200
    assert response.headers["x-penstock-version"] == "7"
    answer = response.json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("delays", "7", "a1")
    prediction, probability = answer["outputs"]
    assert prediction == {
        "name": "prediction", "datatype": "INT64", "shape": [3], "data": [each["prediction"] for each in expected]
    }  # fmt: skip
    assert (probability["datatype"], probability["shape"]) == ("FP64", [3, 2])
    assert probability["data"] == [p for each in expected for p in each["probability"].values()]


def test_the_docs_request(client: Any) -> None:
    """What docs/function.md shows is answered."""
    page = (Path(__file__).parents[3] / "docs/function.md").read_text()
    section = page.split("## The Open Inference Protocol")[1]
    request = json.loads(section.split("```json\n")[1].split("```")[0])
    answer = post(client, request).json()
    assert [each["name"] for each in answer["outputs"]] == [each["name"] for each in request["outputs"]]


def test_bytes_in_and_out(client: Any, right: dict[str, Any]) -> None:
    """The binary extension gives what JSON gives; NaN in it is null."""
    records = [right, {**right, "carrier": "Zürich ☃", "distance": None}]
    as_json = post(client, {"inputs": tensors(records)}).json()["outputs"]
    described, tail = in_bytes(records)
    response = post(client, {"inputs": described, "parameters": {"binary_data_output": True}}, tail)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[LENGTH])
    outputs, rest = json.loads(response.content[:length])["outputs"], response.content[length:]
    for expected, found in zip(as_json, outputs, strict=True):
        size = found["parameters"]["binary_data_size"]
        dtype = {"INT64": "<i8", "FP64": "<f8"}[found["datatype"]]
        assert np.frombuffer(rest[:size], dtype).tolist() == expected["data"]
        rest = rest[size:]
    assert rest == b""


def test_only_the_outputs_asked_for(client: Any, right: dict[str, Any]) -> None:
    """In the order asked, each as it was asked for."""
    outputs = [{"name": "probability", "parameters": {"binary_data": True}}, {"name": "prediction"}]
    response = post(client, {"inputs": tensors([right]), "outputs": outputs})
    made = json.loads(response.content[: int(response.headers[LENGTH])])["outputs"]
    assert [each["name"] for each in made] == ["probability", "prediction"]
    assert made[0]["parameters"] == {"binary_data_size": 16}
    assert made[1]["data"] == [1]


def test_classes_that_are_text(make_package: Callable[..., Path], graph: Any, right: dict[str, Any]) -> None:
    """They are BYTES, in JSON and in bytes."""
    service = Service()
    service.serve(Package.load(make_package(classes=["early", "late"])))
    client = Client(service)
    outputs = [{"name": "prediction", "parameters": {"binary_data": True}}]
    assert post(client, {"inputs": tensors([right])}).json()["outputs"][0]["data"] == ["late"]
    response = post(client, {"inputs": tensors([right]), "outputs": outputs})
    assert response.content[int(response.headers[LENGTH]) :] == b"\x04\x00\x00\x00late"


def test_what_is_told(client: Any, empty_client: Any) -> None:
    """Of the server and the model, with and without its version; ready only once there is one."""
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/delays", "/v2/models/delays/versions/7"):
        told = client.get(path).json()
        assert (told["name"], told["versions"], told["platform"]) == ("delays", ["7"], "onnx")
        assert {each["name"]: each["datatype"] for each in told["inputs"]} == TYPES
        assert [(each["name"], each["shape"]) for each in told["outputs"]] == [
            ("prediction", [-1]), ("probability", [-1, 2])
        ]  # fmt: skip
        assert client.get(f"{path}/ready").json() == {"name": "delays", "ready": True}
    assert empty_client.get("/v2/health/live").status_code == 200
    assert empty_client.get("/v2/health/ready").status_code == 503
    assert post(empty_client, {}).status_code == 503


@pytest.mark.parametrize("path", ["/v2/models/other", "/v2/models/delays/versions/8"])
def test_another_model_is_not_here(client: Any, path: str) -> None:
    """By name or version: 404 that says which is."""
    for response in (client.get(path), client.get(f"{path}/ready"), post(client, {}, path=f"{path}/infer")):
        assert response.status_code == 404
        assert "'delays'" in response.json()["error"]


def _without(right: dict[str, Any], column: str, **changes: Any) -> list[dict[str, Any]]:
    return [{**each, **changes} if each["name"] == column else each for each in tensors([right])]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda right: None, "`inputs` is null"),
        (lambda right: [], "`inputs` is an array of 0 values"),
        (lambda right: [3], "inputs[0] is 3"),
        (lambda right: [{"name": 3}], "inputs[0].name is 3"),
        (lambda right: _without(right, "month", datatype="INT128"), "the datatype of the input 'month'"),
        (lambda right: _without(right, "month", datatype=["INT8"]), "the datatype of the input 'month'"),
        (lambda right: _without(right, "month", shape=[1, 2]), "the shape of the input 'month' is [1, 2]"),
        (lambda right: _without(right, "month", shape=None), "the shape of the input 'month' is null"),
        (lambda right: _without(right, "month", shape=[-1]), "expected [N] or [N, 1]"),
        (lambda right: _without(right, "month", shape=[2]), "has 1 values, and its shape says 2"),
        (lambda right: _without(right, "month", shape=[2], data=[1, 2]), "rows, expected one number of them"),
        (lambda right: _without(right, "month", data="x"), "the data of the input 'month' is the string 'x'"),
        (
            lambda right: _without(right, "month", parameters={"binary_data_size": 4}),
            "both data and binary_data_size",
        ),
        (lambda right: [*tensors([right]), tensors([right])[0]], "the input 'carrier' is there twice"),
        (lambda right: tensors([right])[1:], "field 'carrier': found no such field"),
        (
            lambda right: _without(right, "month", data=[1.5]),
            "row 0, field 'month': found 1.5, expected a whole number",
        ),
        (lambda right: _without(right, "carrier", data=["nobody"]), "unseen category"),
        (lambda right: _without(right, "month", name="mouth"), "field 'month': found no such field"),
    ],
)
def test_a_wrong_request_is_refused_precisely(
    client: Any, right: dict[str, Any], change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    """400 with a sentence that names the tensor and what is wrong with it."""
    response = post(client, {"inputs": change(right)})
    assert response.status_code == 400
    assert said in response.json()["error"]


@pytest.mark.parametrize(
    ("described", "tail", "said"),
    [
        ({"datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 9}}, b"\0" * 8, "9 bytes; 8 are left"),
        ({"datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 7}}, b"\0" * 7, "no multiple of the 8"),
        ({"datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}}, b"\0" * 9, "1 bytes are left"),
        ({"datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": -1}}, b"\0" * 8, "a number of bytes"),
        ({"datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 3}}, b"\0" * 3, "the length of a text"),
        ({"datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}, b"\2\0\0\0a", "a text of 2 bytes"),
        ({"datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}, b"\1\0\0\0\xff", "not UTF-8"),
    ],
)  # fmt: skip
def test_wrong_bytes_are_refused(client: Any, described: dict[str, Any], tail: bytes, said: str) -> None:
    """Too few, too many, and not what they should be."""
    response = post(client, {"inputs": [{"name": "distance", **described}]}, tail)
    assert response.status_code == 400
    assert said in response.json()["error"]


@pytest.mark.parametrize("length", ["x", "-1", "999999", "9" * 40])
def test_a_wrong_length_of_the_json_is_refused(client: Any, right: dict[str, Any], length: str) -> None:
    """No number, or more than there is."""
    response = client.post(INFER, content=json.dumps({"inputs": tensors([right])}), headers={LENGTH: length})
    assert response.status_code == 400


def test_a_timeout_that_passed(client: Any, right: dict[str, Any]) -> None:
    """A request for which nobody waits any more is not scored; one with time left is, and 0 is no bound."""
    request = {"inputs": tensors([right])}
    answer = post(client, {**request, "parameters": {"timeout": 1}})
    assert (answer.status_code, "timeout passed" in answer.json()["error"]) == (504, True)
    assert post(client, {**request, "parameters": {"timeout": 60_000_000}}).status_code == 200
    assert post(client, {**request, "parameters": {"timeout": 0}}).status_code == 200
    for wrong in ("soon", -1, 0.5, True):
        assert (
            "expected microseconds"
            in post(client, {**request, "parameters": {"timeout": wrong}}).json()["error"]
        )


def test_an_output_that_is_not_there(client: Any, right: dict[str, Any]) -> None:
    """It is named with those that are."""
    response = post(client, {"inputs": tensors([right]), "outputs": [{"name": "raw"}]})
    assert response.status_code == 400
    assert "there are prediction, probability" in response.json()["error"]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
near_tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from([*TYPES, "x"]) | anything,
        "datatype": st.sampled_from([*TYPES.values(), "FP16", "UINT8"]) | anything,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | anything,
        "data": st.lists(anything, max_size=3) | anything,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-2, 20) | anything})
        | anything,
    },
)


near_requests = st.fixed_dictionaries(
    {},
    optional={
        "id": anything,
        "inputs": st.lists(near_tensors, max_size=7),
        "outputs": anything,
        "parameters": anything,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=near_requests | anything, tail=st.binary(max_size=40), cut=st.integers(-3, 3))
def test_any_request_gets_an_answer_or_a_refusal(client: Any, request: Any, tail: bytes, cut: int) -> None:
    """200 or 400 with a sentence, whatever is sent, and wherever the JSON is said to end."""
    head = json.dumps(request).encode()
    response = client.post(INFER, content=head + tail, headers={LENGTH: str(max(0, len(head) + cut))})
    assert response.status_code in (200, 400)
    assert response.status_code == 200 or response.json()["error"]
