"""A function as a sequence of OpenWhisk's actions: each step and the model in a runtime of its own, and together as one process."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock_function.components import PASSED
from penstock_function.service import Service
from penstock_function.signature import public_keys
from tests.images.function.conftest import Client
from tests.images.function.test_openwhisk import init_body, run_body
from tests.images.function.test_signature import OTHER, OURS, public, signed
from tests.images.function.test_steps import ASKED, BAND, CLOCK, REFERENCE, declared

Pack = Callable[[Path], bytes]

CHECK = """
TAKES = {"carrier": "string"}
GIVES = {}
EXAMPLES = [({"carrier": "AA"}, {})]

def run(record):
    if record["carrier"] == "none":
        raise ValueError("no such carrier")
    return {}
"""
LOUD = """
TAKES = {"band": "string", "month": "int"}
GIVES = {"loud": "string"}
EXAMPLES = [({"band": "high", "month": 3}, {"loud": "HIGH in 3"})]

def run(record):
    return {"loud": f"{record['band'].upper()} in {record['month']}"}
"""
BEFORE, AFTER = {"check": CHECK, "clock": CLOCK}, {"band": BAND, "loud": LOUD}
MAINS = ["steps/check", "steps/clock", "score", "steps/band", "steps/loud"]


def component(code: bytes, main: str = "main", service: Service | None = None) -> Client:
    """A runtime that is that component of the packed package."""
    client = Client(service or Service())
    body = init_body(base64.b64encode(code).decode())
    body["value"]["main"] = main
    response = client.post("/init", json=body)
    assert response.status_code == 200, response.text
    return client


def through(clients: list[Client], value: Any) -> tuple[int, Any]:
    """The status and result of a sequence, which ends with its first component that gives an error."""
    for client in clients:
        response = client.post("/run", json=run_body({**value, "_actions": ["/guest/a"]}))
        value = response.json()
        if response.status_code != 200 or "error" in value:
            break
    return response.status_code, value


@pytest.fixture
def whole(make_package: Callable[..., Path], zipped: Pack) -> bytes:
    """A package with steps on both sides, packed."""
    return zipped(make_package(before=BEFORE, after=AFTER, reference=REFERENCE))


@pytest.mark.parametrize(
    "value",
    [
        ASKED,
        {**ASKED, "explain": True},
        {"records": [ASKED, {**ASKED, "departure": "2013-01-01", "carrier": "DL"}]},
        {"records": [ASKED]},
        {"records": [ASKED, {**ASKED, "departure": "2013-May-01"}]},
        {"records": [{**ASKED, "carrier": "none"}] * 30},
        {"records": [ASKED, {**ASKED, "distance": None}]},
        {"records": [ASKED, {**ASKED, "carrier": "nobody"}]},
        {**ASKED, "departure": "loop"},
        {**ASKED, "carrier": 3},
        {**ASKED, "departure": 3},
        {**ASKED, "distance": "far"},
        {**ASKED, "month": 3},
        {**ASKED, "surprise": 3},
        {name: ASKED[name] for name in ASKED if name != "seats"},
        {name: ASKED[name] for name in ASKED if name != "carrier"},
        {**ASKED, "explain": "maybe"},
        {"records": [ASKED], "explain": True},
        {"records": [ASKED], "more": 1},
        {"records": []},
        {"records": [3]},
        {"records": 3},
    ],
)
def test_a_sequence_answers_as_one_process(whole: bytes, value: Any) -> None:
    """One record and many, explained or not; what a step, the model or the form refuses, in the same words; and a failure."""
    sequence = [component(whole, main) for main in MAINS]
    assert through(sequence, value) == through([component(whole)], value)


def test_a_sequence_may_begin_or_end_with_the_model(make_package: Callable[..., Path], zipped: Pack) -> None:
    """Steps stand on one side alone."""
    for before, after, mains in (
        ({"clock": CLOCK}, {}, ["steps/clock", "score"]),
        ({}, {"last": declared({"distance": "double"}, {"x": "int"})}, ["score", "steps/last"]),
    ):
        code = zipped(make_package(before=before, after=after))
        asked = ASKED if before else {**{k: v for k, v in ASKED.items() if k != "departure"}, "month": 3}
        for value in (asked, {"records": [asked] * 2}, {**asked, "distance": "far"}, {"records": [1]}):
            sequence = [component(code, main) for main in mains]
            assert through(sequence, value) == through([component(code)], value)


def test_a_steps_component_needs_no_more_than_its_own_file(
    make_package: Callable[..., Path], zipped: Pack
) -> None:
    """The manifest says that the file is the one that was packaged, and by whom; the model is not there."""
    folder = signed(make_package(before=BEFORE, after=AFTER))
    for name in ("model.onnx", "samples.json", "steps/check/step.py"):
        (folder / name).unlink()
    client = component(zipped(folder), "steps/clock", Service(public_keys(public(OURS))))
    passed = client.post("/run", json=run_body(ASKED)).json()[PASSED]
    assert passed["made"] == [{"month": 3}]
    assert client.get("/health").status_code == 503, "it serves no model"


@pytest.mark.parametrize(
    ("main", "key", "changed", "said"),
    [
        ("steps/clock", OTHER, "", "no signature of this function.json"),
        ("steps/clock", OURS, "#", "steps/clock/step.py is not the file that was packaged"),
        ("steps/none", OURS, "", "function.json has no step 'none'"),
        ("steps/../clock", OURS, "", "function.json has no step '../clock'"),
    ],
)
def test_a_step_that_nobody_vouches_for_is_not_executed(
    make_package: Callable[..., Path], zipped: Pack, main: str, key: Any, changed: str, said: str
) -> None:
    """By the signature of the manifest, and by its digest of the file."""
    folder = signed(make_package(before=BEFORE), key)
    source = folder / "steps/clock/step.py"
    source.write_text(changed + source.read_text())
    body = init_body(base64.b64encode(zipped(folder)).decode())
    body["value"]["main"] = main
    response = Client(Service(public_keys(public(OURS)))).post("/init", json=body)
    assert response.status_code == 422
    assert said in response.json()["error"]


def test_a_step_proves_itself(make_package: Callable[..., Path], zipped: Pack) -> None:
    """By its own examples, as in one process."""
    wrong = CLOCK.replace('{"month": 3})]', '{"month": 4})]')
    body = init_body(base64.b64encode(zipped(make_package(before={"clock": wrong}))).decode())
    body["value"]["main"] = "steps/clock"
    response = Client(Service()).post("/init", json=body)
    assert response.status_code == 422
    assert "example 0 of steps/clock/step.py: found {'month': 3}" in response.json()["error"]


@pytest.mark.parametrize("name", ["records", "explain", PASSED])
def test_a_column_that_would_be_taken_for_something_else_is_refused(
    make_package: Callable[..., Path], zipped: Pack, name: str
) -> None:
    """A step is shared, and cannot know that some function has such a column."""
    code = zipped(make_package(before={"a": declared({name: "double"}, {"distance": "double"})}))
    body = init_body(base64.b64encode(code).decode())
    body["value"]["main"] = "score"
    response = Client(Service()).post("/init", json=body)
    assert response.status_code == 422
    assert f"takes a column {name!r} cannot be a sequence" in response.json()["error"]


def test_a_model_tells_what_its_sequence_must_answer(whole: bytes) -> None:
    """Requests like its samples with the answers of one process; the one that a step refuses is not among them."""
    sequence = [component(whole, main) for main in MAINS]
    told = sequence[2].post("/run", json=run_body({PASSED: "samples"})).json()[PASSED]
    assert len(told["records"]) == 2, "there are three samples"
    assert through(sequence, {"records": told["records"]})[1]["predictions"] == told["predictions"]
    assert through(sequence, {PASSED: "samples"})[1]["error"]["message"].startswith(f"what `{PASSED}` holds")


def test_an_empty_request_goes_through(whole: bytes) -> None:
    """By it is seen that each component answers, and which version does."""
    nothing = {PASSED: {"records": [], "made": []}}
    assert through([component(whole, main) for main in MAINS], nothing) == (
        200, {"name": "delays", "version": "7", "predictions": []}
    )  # fmt: skip


FORGED = {"records": [ASKED], "made": [{}], "many": False, "answer": {"prediction": 0}}


@pytest.mark.parametrize(
    "passed",
    [
        3,
        {},
        {"records": [ASKED], "made": []},
        {"records": [ASKED] * 2, "made": [{}] * 2, "many": False},
        {"records": [3], "made": [{}]},
        {"records": [{"departure": 3}], "made": [{}]},
        {"records": [ASKED], "made": [{}], "more": 1},
        {**FORGED, "left": ["check", "clock"]},
        {**FORGED, "left": ["clock"]},
        {**FORGED, "answer": {"predictions": 3}, "many": True, "left": ["check"]},
        {**FORGED, "records": [3], "left": ["check"]},
    ],
)
def test_a_caller_who_plays_a_component_is_refused(whole: bytes, passed: Any) -> None:
    """Nobody gets past a step, or has an answer of their own taken for the model's: that is wrong input, no broken container."""
    sequence = [component(whole, main) for main in MAINS]
    status, result = through(sequence, {PASSED: passed})
    assert status == 200
    assert "message" in result["error"], json.dumps(result)


def test_what_a_caller_says_that_steps_made_they_make_anew(whole: bytes) -> None:
    """A step runs whatever is said to be known already."""
    sequence = [component(whole, main) for main in MAINS]
    played = {"records": [ASKED], "made": [{"month": 12}], "many": False}
    assert through(sequence, {PASSED: played}) == through([component(whole)], ASKED)
