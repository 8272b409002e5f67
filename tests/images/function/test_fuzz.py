"""Whatever is posted, the function answers: 200 or a precise 4xx, never a 500, never a hang."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_function.package import Package
from penstock_function.service import Refusal, Service

COLUMNS = ["carrier", "distance", "ratio", "seats", "month", "holiday"]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["AA", "DL", "", "\u0000", "Zürich ☃", 2**53, -(2**63), 1e308, 1e-320, -0.0]),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
near_records = st.fixed_dictionaries(
    {}, optional=dict.fromkeys([*COLUMNS, "records", "other"], scalars | anything)
) | st.fixed_dictionaries(dict.fromkeys(COLUMNS, scalars))
bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    # json writes NaN and Infinity, and lone surrogates as escapes: what careless clients send.
    st.one_of(anything, near_records, st.lists(near_records, max_size=4)).map(
        lambda value: json.dumps(value).encode()
    ),
    st.lists(near_records, max_size=3).map(lambda records: json.dumps({"records": records}).encode()),
)

activations = st.fixed_dictionaries(
    {},
    optional={
        "value": near_records | anything,
        "deadline": st.sampled_from(["0", "4102444800000", "\u0663", "1e9"]) | anything,
        "activation_id": anything,
    },
).map(lambda value: json.dumps(value).encode())
inits = st.fixed_dictionaries(
    {},
    optional={
        "value": anything
        | st.fixed_dictionaries(
            {},
            optional={
                "code": anything | st.binary(max_size=60).map(lambda code: base64.b64encode(code).decode()),
                "binary": st.just(True) | anything,
            },
        )
    },
).map(lambda value: json.dumps(value).encode())

FUZZ = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(body=bodies)
def test_any_body_gets_an_answer_or_a_refusal(client: Any, body: bytes) -> None:
    """Over HTTP: the status is 200, 400 or 422, the body is a JSON object, and a refusal has its sentence."""
    response = client.post("/predict", content=body)
    assert response.status_code in (200, 400, 422)
    answer = response.json()
    assert ("error" in answer) == (response.status_code != 200)
    if response.status_code == 422:
        assert {"row", "field", "found", "expected"} == set(answer["faults"][0])


@FUZZ
@given(body=bodies | activations)
def test_any_activation_gets_a_json_object(client: Any, body: bytes) -> None:
    """Over OpenWhisk's /run: 200 or 400, always a JSON object."""
    client.post("/init", json={"value": {}})
    response = client.post("/run", content=body)
    assert response.status_code in (200, 400)
    assert isinstance(response.json(), dict)


@FUZZ
@given(body=bodies | inits)
def test_any_init_without_a_package_is_refused(empty_client: Any, body: bytes) -> None:
    """Over OpenWhisk's /init: 400 or 422 with its sentence, and the next one is looked at again."""
    response = empty_client.post("/init", content=body)
    assert response.status_code in (400, 422)
    assert list(response.json()) == ["error"]


@pytest.fixture(scope="module")
def service() -> Service:
    """Made once for the module by the first test that asks."""
    return Service()


@FUZZ
@given(record=st.fixed_dictionaries(dict.fromkeys(COLUMNS, scalars)))
def test_an_answer_is_always_json(
    make_package: Callable[..., Path], service: Service, record: dict[str, Any]
) -> None:
    """A regression over any numbers answers in strict JSON, whatever overflows inside the graph."""
    if service.package is None:
        service.serve(Package.load(make_package(task="regression")))
    try:
        body = orjson.dumps(record)
    except TypeError:  # a whole number or text that orjson does not write
        return
    try:
        answer = json.loads(service.predict_json(body)[0], parse_constant=pytest.fail)
    except Refusal as refusal:
        answer = refusal.body()
    assert "faults" in answer or answer["prediction"] is None or isinstance(answer["prediction"], float)
