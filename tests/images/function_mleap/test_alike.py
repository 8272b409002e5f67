"""Request by request, the runtime in Java beside the one in Python, whose answers are the right ones, for one and the same model."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pyspark.ml.regression import LinearRegression

from jobs.bundle.convert import to_onnx
from jobs.common.scorer import scorer
from penstock_function.package import Package
from penstock_function.scorer import Scorer
from penstock_function.service import Service
from tests.images.function.conftest import Client
from tests.images.function.test_open_inference import (
    LENGTH,
    anything,
    in_bytes,
    near_requests,
    tensors,
)
from tests.images.function_mleap.conftest import same, starting
from tests.images.function_mleap.delays import FIELDS, INPUTS, RIGHT, fit

pytestmark = [pytest.mark.maven, pytest.mark.spark]

#: What a client may send, right and wrong.
BODIES = [
    RIGHT,
    [RIGHT, {**RIGHT, "carrier": "DL"}],
    {"records": [RIGHT]},
    {**RIGHT, "seats": 3.0, "distance": 7, "month": 2.0},
    {**RIGHT, "carrier": "Zürich ☃", "distance": 1e-300},
    {**RIGHT, "carrier": "nobody"},
    {**RIGHT, "carrier": None},
    {**RIGHT, "distance": None},
    {**RIGHT, "seats": None},
    {**RIGHT, "ratio": None, "month": None},
    [RIGHT, {**RIGHT, "carrier": "nobody"}, {**RIGHT, "ratio": None}],
    {**RIGHT, "distance": "far"},
    {**RIGHT, "carrier": 7, "seats": 2.5, "month": 2**31, "holiday": 1, "ratio": 1e39},
    {**RIGHT, "seats": 2**53 + 1},
    {**RIGHT, "carrier": "it's", "month": "it's " + 50 * "long"},
    {**RIGHT, "carrier": ["AA"], "holiday": {"a": 1}, "distance": True},
    {"carrier": "AA"},
    {**RIGHT, "surplus": 1},
    [],
    7,
    None,
    "text",
    {"records": [RIGHT], "other": 1},
    {"records": 7},
    [RIGHT, 7, None],
    30 * [{**RIGHT, "distance": "far"}],
    100_001 * [{}],
]

INFER = "/v2/models/delays/infer"
ROWS = [
    RIGHT,
    {**RIGHT, "carrier": "DL", "distance": None},
    {**RIGHT, "carrier": "Zürich ☃", "holiday": False},
]


def without(column, **changes):
    """The tensors of a right record, but for one of them."""
    return [{**each, **changes} if each["name"] == column else each for each in tensors([RIGHT])]


def sized(size):
    return {"binary_data_size": size}


#: The same of the Open Inference Protocol, as JSON.
REQUESTS = [
    {"inputs": tensors(ROWS)},
    {"inputs": tensors(ROWS), "id": "a", "parameters": {"timeout": 10**9}},
    {"inputs": tensors(ROWS), "id": 7, "parameters": None, "outputs": None},
    {"inputs": [{**each, "shape": [3, 1], "data": [[value] for value in each["data"]]} for each in tensors(ROWS)]},
    {"inputs": tensors([RIGHT]), "outputs": [{"name": "probability"}]},
    {"inputs": tensors([RIGHT]), "outputs": []},
    {"inputs": tensors([RIGHT]), "outputs": "all"},
    {"inputs": tensors([RIGHT]), "outputs": [{"name": "logit"}]},
    {"inputs": tensors([RIGHT]), "outputs": [7]},
    *({"inputs": inputs} for inputs in (None, [], {}, [7], [{}], [{"name": 7}], tensors([]))),
    *({"inputs": without("month", datatype=wrong)} for wrong in ("INT128", None, ["INT8"])),
    *({"inputs": without("month", shape=wrong)} for wrong in ([1, 2], [-1], [], None, 1, [1.0], [1, 1, 1])),
    *({"inputs": without("month", data=wrong)} for wrong in ("x", None, [1.5], [2, 3], [[1, 2]], [True])),
    *({"inputs": without("month", parameters=sized(wrong))} for wrong in (4, -1, "4")),
    {"inputs": [*tensors([RIGHT]), tensors([RIGHT])[0]]},
    {"inputs": tensors([RIGHT])[1:]},
    {"inputs": without("month", name="mouth" * 50)},
    {"inputs": without("month", shape=[2], data=[1, 2])},
    {"inputs": tensors([RIGHT, {**RIGHT, "carrier": "nobody", "distance": "far"}])},
    {"inputs": tensors([{**RIGHT, "carrier": "nobody"}])},
    *({"inputs": tensors([RIGHT]), "parameters": {"timeout": wrong}} for wrong in (1, -1, 0.5, "1", True, None)),
    {"inputs": [{"name": "month", "datatype": "INT32", "shape": [100_001], "data": [1] * 100_001}]},
    [],
    7,
]  # fmt: skip


def typed(column, datatype, data):
    """A right record of which one tensor's values are bytes of that type, with these."""
    described = {"name": column, "datatype": datatype, "shape": [1], "parameters": sized(len(data))}
    return [described if each["name"] == column else each for each in tensors([RIGHT])], data


#: The same with bytes: the inputs, what follows the JSON, and what else stands in it.
BINARY = [
    (*in_bytes(ROWS), {}),
    (*in_bytes(ROWS), {"parameters": {"binary_data_output": True}}),
    (*in_bytes(ROWS), {"outputs": [{"name": "probability", "parameters": {"binary_data": True}}, {"name": "prediction"}]}),
    (tensors(ROWS), b"", {"parameters": {"binary_data_output": True}}),
    *((*typed("distance", f"FP{8 * len(data)}", data), {}) for form in ("e", "f", "d") for value in (0.1, -3.5, 2e-7, float("inf"), float("nan")) if (data := struct.pack("<" + form, value))),
    *((*typed("seats", kind, data), {}) for kind, data in (("INT8", b"\2"), ("UINT8", b"\2"), ("INT16", b"\2\0"), ("UINT16", b"\2\0"), ("INT32", b"\2\0\0\0"), ("UINT32", b"\2\0\0\0"), ("INT64", b"\2" + bytes(7)), ("UINT64", b"\xff" * 8), ("INT8", b"\xff"))),
    (*typed("holiday", "BOOL", b"\2"), {}),
    (*typed("seats", "INT64", b"\2" + bytes(6)), {}),
    (*typed("carrier", "BYTES", b"\2\0\0"), {}),
    (*typed("carrier", "BYTES", b"\xff\xff\xff\xffAA"), {}),
    (*typed("carrier", "BYTES", b"\1\0\0\0\xff"), {}),
    (*typed("carrier", "BYTES", b"\2\0\0\0AA\0\0\0\0"), {}),
    (typed("seats", "INT64", bytes(8))[0], bytes(7), {}),
    (typed("seats", "INT64", bytes(8))[0], bytes(9), {}),
]  # fmt: skip

PAGES = [
    "/health",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    *(
        f"/v2/models/{model}{ready}"
        for model in ("delays", "delays/versions/7", "delays/versions/8", "other", "o'ther" * 50)
        for ready in ("", "/ready")
    ),
]


def as_onnx(folder, task="binary", classes=2):
    """The runtime in Python with the same model as ONNX."""
    model = to_onnx(folder.parent / "spark", FIELDS, task, classes).SerializeToString()
    manifest = json.loads((folder / "function.json").read_text())
    digests = {
        "model.onnx": hashlib.sha256(model).hexdigest(),
        "samples.json": manifest["files"]["samples.json"],
    }
    described = {**manifest, "runtime": "onnx", "files": digests, "reference": None}
    files = {
        "function.json": json.dumps(described).encode(),
        "model.onnx": model,
        "samples.json": (folder / "samples.json").read_bytes(),
    }
    return Package.read(files.__getitem__)


def served_by_python(package=None):
    service = Service()
    if package is not None:
        service.serve(package)
    return Client(service)


@pytest.fixture(scope="module")
def python(made):
    """The runtime in Python with the model."""
    return served_by_python(as_onnx(made))


@pytest.fixture(scope="module")
def java(made):
    """The runtime in Java with it."""
    with starting() as run:
        yield run("--package", str(made)).client


def read(response):
    """The JSON of an answer, and the numbers that follow it as bytes."""
    head = int(response.headers.get(LENGTH, len(response.content)))
    answer, rest = json.loads(response.content[:head]), response.content[head:]
    tail = []
    for output in answer.get("outputs", []) if rest else []:
        size = output.get("parameters", sized(0))["binary_data_size"]
        tail.append(np.frombuffer(rest[:size], {"INT64": "<i8", "FP64": "<f8"}[output["datatype"]]).tolist())
        rest = rest[size:]
    assert rest == b""
    return answer, tail


def check_alike(java, python, method, path, **request):
    """One request gets from both the same status, type, answer, sentence and faults."""
    found, expected = java.request(method, path, **request), python.request(method, path, **request)
    assert found.status_code == expected.status_code, (path, found.text, expected.text)
    assert found.headers["content-type"] == expected.headers["content-type"]
    (found_answer, found_tail), (expected_answer, expected_tail) = read(found), read(expected)
    # Whose model it is.
    if expected_answer.get("platform") == "onnx":
        assert found_answer.pop("platform") == "mleap"
        del expected_answer["platform"]
    # And in which package.
    if "revision" in expected_answer:
        revisions = [answer.pop("revision") for answer in (found_answer, expected_answer)]
        assert [revision[:3] for revision in revisions] == ["v7-", "v7-"]
    assert found_answer.keys() == expected_answer.keys()
    assert same([found_answer, found_tail], [expected_answer, expected_tail]), (found.text, expected.text)


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_predict(java, python, number):
    """Whatever is posted to /predict."""
    check_alike(java, python, "POST", "/predict", content=json.dumps(BODIES[number]))


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_infer(java, python, number):
    """Tensors as JSON, right and wrong."""
    check_alike(java, python, "POST", INFER, content=json.dumps(REQUESTS[number]))


@pytest.mark.parametrize("number", range(len(BINARY)))
def test_infer_in_bytes(java, python, number):
    """Tensors as bytes: of each type, too many, too few, and what they should not be."""
    inputs, tail, beside = BINARY[number]
    head = json.dumps({"inputs": inputs, **beside}).encode()
    check_alike(java, python, "POST", INFER, content=head + tail, headers={LENGTH: str(len(head))})


@pytest.mark.parametrize("length", ["x", "-1", "999999", "9" * 40, "", "3"])
def test_infer_with_a_wrong_length(java, python, length):
    """No number, more than there is, and an end within the JSON, of which each parser has its own words."""
    request = {"content": json.dumps(REQUESTS[0]), "headers": {LENGTH: length}}
    if length == "3":
        assert java.post(INFER, **request).status_code == python.post(INFER, **request).status_code == 400
    else:
        check_alike(java, python, "POST", INFER, **request)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=near_requests | anything, tail=st.binary(max_size=40))
def test_infer_with_any_request(java, python, request, tail):
    """What is near a request is answered by both or refused by both; how a text is shown depends on the version of Unicode."""
    head = json.dumps(request).encode()
    asked = {"content": head + tail, "headers": {LENGTH: str(len(head))}}
    found, expected = java.post(INFER, **asked), python.post(INFER, **asked)
    assert found.status_code == expected.status_code, (found.text, expected.text)


def test_pages(java, python):
    """What is told of the server and its model, and that there is no other; a path or a method that is not served."""
    for path in PAGES:
        check_alike(java, python, "GET", path)
    for model in ("delays/versions/7", "delays/versions/8", "other"):
        check_alike(java, python, "POST", f"/v2/models/{model}/infer", json=REQUESTS[0])
    for path in ("/v2/", "/v2/models", "/v2/models/delays/", "/v2/models/delays/versions", "/v2/health"):
        assert java.get(path).status_code == python.get(path).status_code == 404, path
    for response in (java.post("/v2"), java.get(INFER)):
        assert response.status_code == 405


def test_before_there_is_a_model(start):
    """Alive and not ready: every call that needs the model is told so."""
    java, python = start().client, served_by_python()
    for path in PAGES:
        check_alike(java, python, "GET", path)
    for path in ("/predict", INFER):
        check_alike(java, python, "POST", path, json=RIGHT)


#: Of the two runtimes only the one in Python scores in batches, and has a prediction log.
ONLY_PYTHON = {"penstock_batch_requests", "penstock_logged_rows"}
#: How long a request took; and of the scores what the library in Python leaves out where a bound is negative.
OF_THE_MOMENT = {
    "penstock_request_seconds_bucket",
    "penstock_request_seconds_sum",
    "penstock_score_count",
    "penstock_score_sum",
}


def counted(text):
    """What /metrics tells: name, type, help, and by name and labels each sample that does not depend on the moment."""
    told = {}
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created") or family.name in ONLY_PYTHON:
            continue
        if family.name.startswith("process_"):
            told[family.name] = family.type
            continue
        samples = {}
        for sample in family.samples:
            labels = {
                name: f"{float(value):.9g}" if name == "le" else value
                for name, value in sample.labels.items()
            }
            if sample.name not in OF_THE_MOMENT:
                samples[sample.name, *sorted(labels.items())] = pytest.approx(sample.value)
        told[family.name] = (family.type, family.documentation, samples)
    return told


def check_counted_alike(java, python):
    """After one and the same requests, of each kind: both have counted the same, under the same names."""
    for body in BODIES[:8]:
        check_alike(java, python, "POST", "/predict", content=json.dumps(body))
    for request in REQUESTS[:2]:
        check_alike(java, python, "POST", INFER, content=json.dumps(request))
    wrong = {INFER: b"{}", "/predict": b"{", "/run": b"{}", "/init": b"7", "/nothing": b" " * (2**23 + 1)}
    for path, body in [*wrong.items(), ("/predict", wrong["/nothing"])]:
        assert java.post(path, content=body).status_code == python.post(path, content=body).status_code >= 400
    found, expected = java.get("/metrics"), python.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    found, expected = counted(found.text), counted(expected.text)
    assert {"penstock_score", "penstock_errors", "process_resident_memory_bytes"} <= expected.keys()
    assert found == expected


def test_metrics_of_classes(made, start):
    """Requests, errors by kind, rows, and how the probabilities spread."""
    check_counted_alike(start("--package", str(made)).client, served_by_python(as_onnx(made)))


def test_metrics_of_a_number(spark, make_package, start):
    """How a number spreads, in the tenths of Spark's answers to the samples."""
    made = make_package(fit(spark, LinearRegression(maxIter=5)), FIELDS, INPUTS[1:], "regression", None)
    python = served_by_python(as_onnx(made, "regression", None))
    check_counted_alike(start("--package", str(made)).client, python)


def test_in_bulk(made):
    """As columns, in the job's way: every score is the same, and NaN where a row is refused, by more faults than are told."""
    count = 150
    columns = {
        "carrier": np.array(["AA", "DL", "nobody", None, "Zürich ☃"] * (count // 5), dtype=object),
        "distance": np.array([0.5, np.nan, 7.0] * (count // 3)),
        "ratio": np.linspace(0, 1, count, dtype=np.float32),
        "seats": np.arange(count, dtype=np.float64),
        "month": np.array([3.0] * (count - 1) + [np.nan]),
        "holiday": np.array([True, False] * (count // 2)),
    }
    with scorer(made) as java:
        found = java.score_columns(columns)
    expected = Scorer(as_onnx(made)).score_columns(columns)
    assert np.isnan(expected["prediction"]).sum() == 61
    assert sorted(found) == ["prediction", "probability_0", "probability_1"]
    for name, values in found.items():
        assert values == pytest.approx(expected[name], abs=1e-9, nan_ok=True), name
    endless = {name: values[:1] for name, values in columns.items()} | {"distance": np.array([np.inf])}
    with scorer(made) as java:
        assert np.isnan(java.score_columns(endless)["prediction"]).all()
