"""Steps around the model: what the function takes and gives by them, on each protocol, and what becomes of their failures."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import numpy as np
import pytest

from penstock_function import archive, service
from penstock_function.package import Package, PackageError
from penstock_function.service import Service
from penstock_function.steps import Steps
from tests.images.function.conftest import Client
from tests.images.function.test_open_inference_grpc import infer_of, run, told_of, typed
from tests.images.function.test_openwhisk import init_body, run_body
from tests.servers import until

CLOCK = """
'''The month of a departure, which the model was trained on.'''
TAKES = {"departure": "string"}
GIVES = {"month": "int"}
EXAMPLES = [({"departure": "2013-03-01"}, {"month": 3})]

def run(record):
    if record["departure"] == "loop":
        return {}["loop"]
    return {"month": int(record["departure"].split("-")[1])}
"""
#: Until a file is there.
HANG = """
def hang(path):
    import os, time
    while not os.path.exists(path):
        time.sleep(0.01)
"""
BAND = """
TAKES = {"probability": "object", "prediction": "long", "distance": "double", "departure": "string"}
GIVES = {"band": "string", "share": "float"}
EXAMPLES = [
    ({"probability": {"0": 0.25, "1": 0.75}, "prediction": 1, "distance": 2, "departure": "x"}, {"band": "high of x", "share": 0.375})
]

def run(record):
    chance = record["probability"]["1"]
    if record["distance"] is None:
        raise ValueError("no distance, no band")
    band = "high" if record["prediction"] else "low"
    return {"band": f"{band} of {record['departure']}", "share": chance / record["distance"]}
"""
ASKED = {
    "carrier": "AA", "distance": 0.5, "ratio": 0.25, "seats": 2, "holiday": True, "departure": "2013-03-01"
}  # fmt: skip
REFERENCE = {"carrier": "DL", "distance": 0.0, "ratio": 0.0, "seats": 0, "month": 1, "holiday": False}
CHANCE = 1 / (1 + np.exp(-7.75))
ANSWER = {"prediction": 1, "probability": pytest.approx({"0": 1 - CHANCE, "1": CHANCE})}
GIVEN: dict[str, Any] = {"band": "high of 2013-03-01", "share": pytest.approx(CHANCE / 0.5)}


def declared(takes: Mapping[str, str], gives: Mapping[str, str]) -> str:
    """A step that gives null, whatever it takes."""
    nulls = dict.fromkeys(takes)
    if "probability" in nulls:
        nulls["probability"] = {}  # type: ignore[assignment]
    given = dict.fromkeys(gives)
    return f"""
TAKES = {dict(takes)}
GIVES = {dict(gives)}
EXAMPLES = [({nulls}, {given})]
def run(record):
    return {given}
"""


@pytest.fixture
def stepped(make_package: Callable[..., Path]) -> Client:
    """The whole app over a package with a step on either side of the model."""
    made = Service()
    made.serve(Package.load(make_package(before={"clock": CLOCK}, after={"band": BAND}, reference=REFERENCE)))
    return Client(made)


def test_a_record_goes_through_the_steps(stepped: Client) -> None:
    """The function takes what the first step takes, and its answer is the model's with what the last one gives."""
    names = {"name": "delays", "version": "7"}
    assert stepped.post("/predict", json=ASKED).json() == {**names, **ANSWER, **GIVEN}
    many = stepped.post("/predict", json=[ASKED, {**ASKED, "departure": "2013-01-01"}]).json()["predictions"]
    assert many[0] == {**ANSWER, **GIVEN}
    assert many[1]["probability"]["1"] == pytest.approx(1 / (1 + np.exp(-5.75)))
    assert many[1]["band"] == "high of 2013-01-01"


def test_a_model_with_steps_answers_as_it_does_alone(
    stepped: Client, make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """The model's part of the answer is that of the model's own columns."""
    alone = Service()
    alone.serve(Package.load(make_package()))
    own = Client(alone).post("/predict", json=right).json()
    assert {**own, **GIVEN} == stepped.post("/predict", json=ASKED).json()


@pytest.mark.parametrize(
    ("change", "field"),
    [({"departure": 3}, "departure"), ({"month": 3}, "month"), ({"distance": "far"}, "distance")],
)
def test_what_does_not_fit_is_named(stepped: Client, change: dict[str, Any], field: str) -> None:
    """A wrong type, and a column that a step makes and nobody may give: as with the model alone."""
    response = stepped.post("/predict", json=[ASKED, {**ASKED, **change}])
    assert response.status_code == 422
    assert [(fault["row"], fault["field"]) for fault in response.json()["faults"]] == [(1, field)]


def test_a_column_that_is_missing_is_named(stepped: Client) -> None:
    """What a step takes must be there as what the model takes must."""
    response = stepped.post("/predict", json={name: ASKED[name] for name in ASKED if name != "departure"})
    assert response.status_code == 422
    assert response.json()["faults"][0]["found"] == "no such field"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"departure": "2013-May-01"}, "step clock refuses: invalid literal for int()"),
        ({"distance": None}, "step band refuses: no distance, no band"),
    ],
)
def test_a_refusal_names_step_and_row(stepped: Client, change: dict[str, Any], said: str) -> None:
    """A step's ValueError is a 422 with its words, before the model and after it."""
    response = stepped.post("/predict", json=[ASKED, {**ASKED, **change}])
    assert response.status_code == 422
    [fault] = response.json()["faults"]
    assert fault["row"] == 1
    assert said in fault["found"]
    assert said in response.json()["error"]


def test_what_the_model_refuses_it_refuses(stepped: Client) -> None:
    """An unseen category is the model's fault to find, named by its column."""
    response = stepped.post("/predict", json={**ASKED, "carrier": "nobody"})
    assert response.status_code == 422
    assert response.json()["faults"][0]["field"] == "carrier"


def test_a_refusal_is_bounded(make_package: Callable[..., Path]) -> None:
    """No more faults than of any other kind, each with so many of the step's words, and none that JSON cannot carry."""
    shouting = CLOCK.replace(
        "def run(record):",
        'def run(record):\n    if record["departure"] == "x":\n        raise ValueError("\\ud800" * 5000)',
    )
    made = Service()
    made.serve(Package.load(make_package(before={"clock": shouting})))
    response = Client(made).post("/predict", json=[{**ASKED, "departure": "x"}] * 50)
    assert response.status_code == 422
    assert len(response.json()["faults"]) == 20
    assert len(response.json()["faults"][0]["found"]) < 400


def test_a_failure_is_a_500_that_names_the_step(stepped: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """The log has the traceback with the step's own line, the metrics count it, and the next record is answered."""
    response = stepped.post("/predict", json={**ASKED, "departure": "loop"}, headers={"x-request-id": "r-1"})
    assert (response.status_code, response.json()) == (500, {"error": "the step clock failed: KeyError"})
    event = json.loads(capsys.readouterr().err)
    assert event["x-request-id"] == "r-1"
    assert 'return {}["loop"]' in event["traceback"]
    assert 'penstock_errors_total{kind="step"} 1.0' in stepped.get("/metrics").text
    assert stepped.post("/predict", json=ASKED).status_code == 200


def test_the_protocols_agree(make_package: Callable[..., Path], stepped: Client) -> None:
    """The Open Inference Protocol and OpenWhisk's take and give the same."""
    model = stepped.get("/v2/models/delays").json()
    assert {entry["name"] for entry in model["inputs"]} == set(ASKED)
    outputs = [(entry["name"], entry["datatype"]) for entry in model["outputs"]]
    assert outputs == [("prediction", "INT64"), ("probability", "FP64"), ("band", "BYTES"), ("share", "FP32")]
    datatypes = {entry["name"]: entry["datatype"] for entry in model["inputs"]}
    inputs = [
        {"name": name, "datatype": datatypes[name], "shape": [1], "data": [value]}
        for name, value in ASKED.items()
    ]
    answer = stepped.post("/v2/models/delays/infer", json={"inputs": inputs}).json()
    assert [output["data"] for output in answer["outputs"]] == [
        [1], pytest.approx([1 - CHANCE, CHANCE]), [GIVEN["band"]], [GIVEN["share"]]
    ]  # fmt: skip
    inputs[0] = {"name": "month", "datatype": "INT32", "shape": [1], "data": [3]}
    assert stepped.post("/v2/models/delays/infer", json={"inputs": inputs}).status_code == 400
    assert stepped.post("/init", json={"value": {}}).status_code == 200
    assert stepped.post("/run", json=run_body(ASKED)).json()["band"] == GIVEN["band"]


def test_binary_tensors_carry_what_steps_give(stepped: Client) -> None:
    """A float is its four bytes."""
    datatypes = {
        entry["name"]: entry["datatype"] for entry in stepped.get("/v2/models/delays").json()["inputs"]
    }
    request = {
        "inputs": [
            {"name": name, "datatype": datatypes[name], "shape": [1], "data": [value]}
            for name, value in ASKED.items()
        ],
        "outputs": [{"name": "share", "parameters": {"binary_data": True}}],
    }
    response = stepped.post("/v2/models/delays/infer", json=request)
    length = int(response.headers["inference-header-content-length"])
    assert np.frombuffer(response.content[length:], "<f4") == pytest.approx([CHANCE / 0.5])


def test_the_description_is_of_the_function(stepped: Client) -> None:
    """The schema of a record has what the function takes, that of an answer what steps give, and the example is taken."""
    document = stepped.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert set(schemas["Record"]["properties"]) == set(ASKED)
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    example = body["examples"]["one"]["value"]
    assert example["departure"] == "2013-03-01"
    answer = stepped.post("/predict", json=example)
    assert answer.status_code == 200
    jsonschema.validate(answer.json(), schemas["One"])
    jsonschema.validate(stepped.post("/predict?explain=true", json=example).json(), schemas["Explained"])


def test_an_explanation_is_of_the_models_columns(stepped: Client) -> None:
    """What moved the score is told of what the steps made of the record."""
    answer = stepped.post("/predict?explain=true", json=ASKED).json()
    assert {"month", "carrier"} <= {change["feature"] for change in answer["explanation"]}
    assert answer["band"] == GIVEN["band"]


def test_the_log_has_the_models_columns(make_package: Callable[..., Path], tmp_path: Path) -> None:
    """Monitoring compares it with training; what only a step takes or gives is not in it."""
    made = Service(spool=tmp_path / "spool")
    log = {"pipeline": "flights", "rate": 1.0, "sensitive": ["carrier"]}
    made.serve(Package.load(make_package(before={"clock": CLOCK}, after={"band": BAND}, log=log)))
    assert Client(made).post("/predict", json=ASKED).status_code == 200
    made.close()
    [segment] = (tmp_path / "spool").iterdir()
    row = json.loads(segment.read_text().splitlines()[1])["row"]
    assert row["inputs"] == {"distance": 0.5, "ratio": 0.25, "seats": 2, "month": 3, "holiday": True}
    assert row["prediction"] == 1


def test_a_step_never_runs_twice_at_once(make_package: Callable[..., Path]) -> None:
    """Small and large requests have threads of their own, and the event loop answers beside both."""
    guarded = CLOCK.replace(
        "def run(record):",
        "import threading, time\nalone = threading.Lock()\n\ndef run(record):\n"
        "    assert alone.acquire(blocking=False)\n    time.sleep(0.001)\n    alone.release()",
    )
    made = Service()
    made.serve(Package.load(make_package(before={"clock": guarded})))
    ran: list[str] = []

    def asked(body: bytes) -> bytes:
        ran.append(threading.current_thread().name)
        return made.predict_json(body)[0]

    async def all_at_once() -> list[bytes]:
        small = json.dumps(ASKED).encode()
        large = json.dumps([ASKED] * 700).encode()
        assert len(small) < service.INLINE_BODY < len(large)
        return await asyncio.gather(*(made.work(asked, body) for body in [large, *[small] * 20]))

    answers = asyncio.run(all_at_once())
    assert len(json.loads(answers[0])["predictions"]) == 700
    assert threading.main_thread().name not in ran


def test_waiting_for_steps_is_bounded(stepped: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds too many before him is told to come back, and health is answered all the same."""
    monkeypatch.setattr(service, "MAX_STEPPED", 0)
    response = stepped.post("/predict", json=ASKED)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert stepped.get("/health").status_code == 200


def test_one_that_hangs_is_given_up(
    make_package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its caller is told after ANSWER_SECONDS, as is whoever waits behind it; that the thread is stuck is known until it comes back."""
    monkeypatch.setattr(service, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(service, "STUCK_SECONDS", 0.2)
    clock = (
        CLOCK.replace(
            '== "loop":\n        return {}["loop"]', f'== "hang":\n        hang({str(tmp_path / "go")!r})'
        )
        + HANG
    )
    made = Service()
    made.serve(Package.load(make_package(before={"clock": clock}, reference=REFERENCE)))
    client = Client(made)
    assert not made.stuck
    for departure in ("hang", ASKED["departure"]):
        response = client.post("/predict", json={**ASKED, "departure": departure})
        assert (response.status_code, response.json()) == (504, {"error": "there was no answer within 0.2 s"})
    assert made.stuck
    assert 'penstock_errors_total{kind="slow"} 2.0' in client.get("/metrics").text
    (tmp_path / "go").touch()
    until(lambda: not made.stuck)
    monkeypatch.setattr(service, "ANSWER_SECONDS", 60)
    assert client.post("/predict", json=ASKED).status_code == 200


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            {"a": ({}, {"weather": "string"})}, {},
            "a gives 'weather', which nothing after it takes: the model takes carrier, distance",
        ),
        ({"a": ({}, {"month": "string"})}, {}, "a gives 'month' as string, which is taken as int"),
        (
            {"a": ({}, {"month": "int"}), "b": ({}, {"month": "int"})}, {},
            "a gives 'month', which nothing after it takes",
        ),
        (
            {"a": ({"distance": "int"}, {})}, {},
            "a takes 'distance' as int, which is taken after it as double",
        ),
        ({"a": ({"probability": "object"}, {})}, {}, "a takes 'probability', which there is only after the model"),
        ({}, {"a": ({"weather": "string"}, {})}, "a takes 'weather' as string, which is not among carrier, distance"),
        ({}, {"a": ({"prediction": "double"}, {})}, "a takes 'prediction' as double, which is long by then"),
        ({}, {"a": ({}, {"version": "string"})}, "a gives 'version', which an answer has already"),
        ({}, {"a": ({}, {"x": "int"}), "b": ({}, {"x": "int"})}, "b gives 'x', which an answer has already"),
    ],
)  # fmt: skip
def test_steps_that_do_not_fit_are_refused(
    make_package: Callable[..., Path], before: Any, after: Any, said: str
) -> None:
    """With the step, the column, and what it would have to be."""
    sources = [{name: declared(*types) for name, types in part.items()} for part in (before, after)]
    with pytest.raises(PackageError) as refused:
        Steps(Package.load(make_package(before=sources[0], after=sources[1])))
    assert str(refused.value).startswith("the steps do not fit: ")
    assert said in str(refused.value)


def test_a_function_that_would_take_nothing_is_refused(make_package: Callable[..., Path]) -> None:
    """Its records would be empty."""
    every = {"carrier": "string", "distance": "double", "ratio": "float", "seats": "long", "month": "int"}
    steps = {"a": declared({}, {**every, "holiday": "boolean"})}
    with pytest.raises(PackageError, match="nothing that the function would take: a takes nothing"):
        Steps(Package.load(make_package(before=steps)))


def test_steps_may_build_on_each_other(make_package: Callable[..., Path]) -> None:
    """A step reads what an earlier one gave, may replace what it takes, and a validator gives nothing."""
    split = declared({"when": "string"}, {"day": "string", "carrier": "string"})
    month = declared({"day": "string", "seats": "long"}, {"month": "int", "seats": "long"})
    steps = Steps(
        Package.load(
            make_package(
                before={"check": declared({"distance": "double"}, {}), "split": split, "month": month},
                after={
                    "first": declared({"day": "string"}, {"x": "int"}),
                    "last": declared({"x": "int"}, {}),
                },
            )
        )
    )
    assert {field.name: field.type for field in steps.inputs} == {
        "distance": "double", "ratio": "float", "holiday": "boolean", "seats": "long", "when": "string"
    }  # fmt: skip
    assert [(field.name, field.type) for field in steps.gives] == [("x", "int")]


def test_only_what_the_model_answers_is_taken_after_it(make_package: Callable[..., Path]) -> None:
    """A function without probabilities has none to give to a step; a regression's prediction is a double."""
    band = {"a": declared({"probability": "object"}, {})}
    with pytest.raises(PackageError, match="'probability' as object, which is not among"):
        Steps(Package.load(make_package(after=band, output="prediction")))
    number = {"a": declared({"prediction": "double"}, {})}
    assert Steps(Package.load(make_package(after=number, task="regression"))).gives == ()


def test_a_wrong_example_keeps_a_function_from_serving(make_package: Callable[..., Path]) -> None:
    """It is found before it is ready, and /health says it."""
    made = Service()
    wrong = CLOCK.replace('{"month": 3}', '{"month": 4}')
    with pytest.raises(PackageError, match=r"example 0 of steps/clock/step.py: found {'month': 3}, expected"):
        made.serve(Package.load(make_package(before={"clock": wrong})))
    response = Client(made).get("/health")
    assert response.status_code == 503
    assert "steps/clock/step.py" in response.json()["reason"]


def test_openwhisk_takes_a_package_with_steps(
    make_package: Callable[..., Path], zipped: Callable[[Path], bytes], empty_client: Client
) -> None:
    """Its zip holds the steps' files too."""
    package = make_package(before={"clock": CLOCK}, after={"band": BAND})
    code = base64.b64encode(zipped(package)).decode()
    assert empty_client.post("/init", json=init_body(code)).status_code == 200
    assert empty_client.post("/run", json=run_body(ASKED)).json()["band"] == GIVEN["band"]


@pytest.mark.parametrize(
    "steps",
    [["clock"], ["score", "score"], ["score", "../clock"], ["score", "Clock"], "score", ["score", 1], []],
)
def test_a_manifest_with_wrong_steps_is_refused(make_package: Callable[..., Path], steps: Any) -> None:
    """The model is among them once, and a name is that of a folder."""
    with pytest.raises(PackageError, match="steps is "):
        Package.load(make_package(steps=steps))


def test_every_file_of_a_step_is_vouched_for(make_package: Callable[..., Path]) -> None:
    """The manifest has the digest of the code of each step, and of no other; a change of it is found."""
    package = make_package(before={"clock": CLOCK})
    (package / "steps/clock/step.py").write_text("changed")
    with pytest.raises(PackageError, match=r"steps/clock/step.py is not the file that was packaged"):
        Package.load(package)
    for steps in (["score"], ["clock", "band", "score"]):
        manifest = json.loads((package / "function.json").read_text()) | {"steps": steps}
        (package / "function.json").write_text(json.dumps(manifest))
        with pytest.raises(PackageError, match=r"files is .*expected a sha256 for each of"):
            Package.load(package)


def test_a_zip_holds_no_more_files_than_it_may(
    make_package: Callable[..., Path], zipped: Callable[[Path], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of steps are many; so the files are counted."""
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    with pytest.raises(PackageError, match="the zip holds 4 files, at most 3"):
        archive.reader(zipped(make_package(before={"clock": CLOCK})))


def test_a_step_finds_its_libraries_behind_the_runtimes_own(
    make_package: Callable[..., Path], start: Callable[..., Any], tmp_path: Path
) -> None:
    """`--libraries` are on the path, last: none of them takes the place of what the runtime itself imports."""
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries/calendars.py").write_text("def month(text): return int(text.split('-')[1])")
    (tmp_path / "libraries/orjson.py").write_text("raise SystemExit('not this one')")
    source = CLOCK.replace("TAKES", "import calendars, orjson\nTAKES", 1)
    source = source.replace('int(record["departure"].split("-")[1])', 'calendars.month(record["departure"])')
    package = make_package(before={"clock": source})
    refused = start("--package", str(package))
    assert refused.first == {}
    assert "No module named 'calendars'" in refused.popen.stderr.read()
    process = start("--package", str(package), "--libraries", str(tmp_path / "libraries"))
    assert process.first["event"] == "ready"
    assert process.end()[0] == 0
    assert str(tmp_path / "libraries") not in sys.path


def test_a_call_of_grpc_goes_through_the_steps(stepped: Client) -> None:
    """The same inputs and outputs, a refusal in the step's words, and a failure that names it."""

    def asking(record: dict[str, Any]) -> Any:
        datatypes = {entry["name"]: entry["datatype"] for entry in metadata["inputs"]}
        return typed(
            [
                {"name": name, "datatype": datatypes[name], "shape": [1], "data": [value]}
                for name, value in record.items()
            ]
        )

    async def ask(channel: Any) -> None:
        told = await told_of(channel, "ModelMetadata", name="delays")
        assert [output.name for output in told.outputs] == ["prediction", "probability", "band", "share"]
        assert {each.name for each in told.inputs} == set(ASKED)
        infer = infer_of(channel)
        band, share = (await infer(asking(ASKED))).outputs[2:]
        assert list(band.contents.bytes_contents) == [GIVEN["band"].encode()]
        assert list(share.contents.fp32_contents) == [GIVEN["share"]]
        for departure, code, said in (
            ("2013-May", "INVALID_ARGUMENT", "step clock refuses"),
            ("loop", "INTERNAL", "the step clock failed: KeyError"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await infer(asking({**ASKED, "departure": departure}))
            assert error.value.code().name == code
            assert said in error.value.details()

    metadata = stepped.get("/v2/models/delays").json()
    run(stepped.service, ask)
