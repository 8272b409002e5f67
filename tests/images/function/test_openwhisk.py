"""OpenWhisk's action interface, as its invoker uses it: one init, then activations, each with its end in the logs."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock_function.openwhisk import SENTINEL


def init_body(code: str | None = None, binary: bool = True) -> dict[str, Any]:
    """What the invoker posts to /init."""
    return {
        "value": {
            "name": "delays",
            "main": "main",
            "binary": binary,
            "env": {"__OW_X": "1"},
            "code": code or "",
        }
    }


def run_body(value: Any) -> dict[str, Any]:
    """What the invoker posts to /run."""
    return {
        "value": value,
        "namespace": "guest",
        "action_name": "/guest/delays",
        "action_version": "0.0.1",
        "activation_id": "abc",
        "transaction_id": "tx",
        "deadline": "4102444800000",
    }


@pytest.fixture
def code(make_package: Callable[..., Path], zipped: Callable[[Path], bytes]) -> str:
    """A package as OpenWhisk carries it: a zip in base64."""
    return base64.b64encode(zipped(make_package())).decode()


def test_init_takes_the_package_and_run_answers(empty_client: Any, code: str, right: dict[str, Any]) -> None:
    """A bare runtime gets its package by init, is healthy from then on, and answers activations."""
    assert empty_client.post("/init", json=init_body(code)).status_code == 200
    assert empty_client.get("/health").status_code == 200
    response = empty_client.post("/run", json=run_body(right))
    assert response.status_code == 200
    assert response.json()["prediction"] == 1
    assert int(response.headers["content-length"]) == len(response.content)
    assert "transfer-encoding" not in response.headers


def test_init_confirms_a_package_that_is_there(client: Any, right: dict[str, Any]) -> None:
    """A runtime whose image holds the package is initialised without code."""
    assert client.post("/init", json=init_body()).status_code == 200
    many = client.post("/run", json=run_body({"records": [right, right]})).json()
    assert [entry["prediction"] for entry in many["predictions"]] == [1, 1]


def test_a_second_init_is_refused(empty_client: Any, code: str) -> None:
    """The second init gets 403 with an error, and the first one's model stays."""
    empty_client.post("/init", json=init_body(code))
    response = empty_client.post("/init", json=init_body(code))
    assert response.status_code == 403
    assert list(response.json()) == ["error"]
    assert empty_client.get("/health").status_code == 200


def test_code_for_a_runtime_with_a_package_is_refused(client: Any, code: str) -> None:
    """A process that serves one package is never turned into another."""
    response = client.post("/init", json=init_body(code))
    assert response.status_code == 403
    assert "send no value.code" in response.json()["error"]


def test_run_before_init_is_an_error(client: Any, empty_client: Any, right: dict[str, Any]) -> None:
    """Without an init an activation gets an error, whether a package is there or not."""
    for runtime in (client, empty_client):
        response = runtime.post("/run", json=run_body(right))
        assert response.status_code == 403
        assert "POST /init comes first" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({}, 400, "`value` must be a JSON object"),
        ([], 400, "`value` must be a JSON object"),
        ({"value": None}, 400, "`value` must be a JSON object"),
        (init_body(), 400, "started without a package"),
        (init_body("def main(): pass", binary=False), 400, "zip of a package in base64"),
        (init_body("§§§"), 400, "not base64"),
        (init_body("AAAA"), 422, "not a zip"),
    ],
)
def test_a_wrong_init_says_why_and_may_be_repeated(
    empty_client: Any, code: str, body: Any, status: int, error: str
) -> None:
    """A failed init has the reason as its only field, leaves nothing behind, and a right one still works."""
    response = empty_client.post("/init", json=body)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert error in response.json()["error"]
    assert empty_client.get("/health").status_code == 503
    assert empty_client.post("/init", json=init_body(code)).status_code == 200


def test_a_package_that_slips_out_is_refused(empty_client: Any, tmp_path: Path) -> None:
    """A zip with a path that leads out is refused, and nothing is written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"..{tmp_path}/planted", "x")
    response = empty_client.post("/init", json=init_body(base64.b64encode(buffer.getvalue()).decode()))
    assert response.status_code == 422
    assert "no file of a package" in response.json()["error"]
    assert not (tmp_path / "planted").exists()


def test_a_package_that_does_not_prove_itself_is_refused(
    empty_client: Any,
    make_package: Callable[..., Path],
    zipped: Callable[[Path], bytes],
    right: dict[str, Any],
) -> None:
    """Init fails with the sample that differs, and health says the same."""
    wrong = make_package(samples={"records": [right], "answers": [{"invalid": "carrier"}]})
    response = empty_client.post("/init", json=init_body(base64.b64encode(zipped(wrong)).decode()))
    assert response.status_code == 422
    assert "sample 0 does not prove the model" in response.json()["error"]
    assert "sample 0" in empty_client.get("/health").json()["reason"]


def test_wrong_input_is_an_application_error(client: Any, right: dict[str, Any]) -> None:
    """A 200 whose `error` holds sentence and faults: any other status would cost OpenWhisk the container."""
    client.post("/init", json=init_body())
    response = client.post("/run", json=run_body({**right, "carrier": "nobody"}))
    assert response.status_code == 200
    assert list(response.json()) == ["error"]
    assert response.json()["error"]["faults"][0]["field"] == "carrier"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"value": 3}', b'{"value": [1]}'])
def test_what_is_no_activation_is_refused(client: Any, body: bytes) -> None:
    """A body that is no activation is not the function's input but a fault of the caller."""
    client.post("/init", json=init_body())
    response = client.post("/run", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_what_a_web_action_adds_is_no_column(client: Any, right: dict[str, Any]) -> None:
    """The request's method and headers, which OpenWhisk adds to a web action's parameters, are left out."""
    client.post("/init", json=init_body())
    value = {**right, "__ow_method": "post", "__ow_headers": {"a": "b"}, "__ow_path": ""}
    assert client.post("/run", json=run_body(value)).json()["prediction"] == 1


def test_each_activation_ends_in_both_logs(
    client: Any, right: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """After each activation, right or wrong, the sentinel stands alone on a line of stdout and of stderr."""
    client.post("/init", json=init_body())
    for value in (right, {}, {**right, "carrier": None}):
        capfd.readouterr()
        client.post("/run", json=run_body(value))
        for stream in capfd.readouterr():
            assert stream.splitlines().count(SENTINEL) == 1
            assert stream.splitlines()[-1] == SENTINEL


@pytest.mark.parametrize("deadline", ["1", "1700000000000"])
def test_a_deadline_that_has_passed(client: Any, right: dict[str, Any], deadline: str) -> None:
    """Nobody waits for the answer: the model is not asked, and the container is not to blame."""
    client.post("/init", json=init_body())
    response = client.post("/run", json={**run_body(right), "deadline": deadline})
    assert response.status_code == 200
    assert "deadline passed" in response.json()["error"]["message"]


@pytest.mark.parametrize("deadline", [None, "", "soon", "9" * 40, "4102444800000"])
def test_a_deadline_that_has_not(client: Any, right: dict[str, Any], deadline: str | None) -> None:
    """One to come, none, or what is none: the model is asked."""
    client.post("/init", json=init_body())
    response = client.post("/run", json={**run_body(right), "deadline": deadline})
    assert response.json()["prediction"] == 1


def test_a_broken_model_is_told_with_its_activation(
    client: Any, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log says in which activation the model failed; the runtime answers as what is broken, and lives."""

    def fail(*_: Any) -> Any:
        raise RuntimeError("the graph broke")

    client.post("/init", json=init_body())
    with monkeypatch.context() as patch:
        patch.setattr(client.service._scorer, "score", fail)
        assert client.post("/run", json=run_body(right)).status_code == 500
    assert "activation abc" in capfd.readouterr().err
    assert client.post("/run", json=run_body(right)).status_code == 200


def test_an_event_of_kafka_is_its_messages_values(
    empty_client: Any, code: str, right: dict[str, Any]
) -> None:
    """As the feed of OpenWhisk brings them, the function scores a batch at once; what is no such event is told as ever."""
    assert empty_client.post("/init", json=init_body(code)).status_code == 200
    messages = [{"topic": "t", "partition": 0, "offset": n, "key": None, "value": right} for n in range(3)]
    answer = empty_client.post("/run", json=run_body({"messages": messages})).json()
    assert [each["prediction"] for each in answer["predictions"]] == [1] * 3
    for wrong in ([{**messages[0], "value": "text"}], [], [3], 3):
        assert "message" in empty_client.post("/run", json=run_body({"messages": wrong})).json()["error"]
    assert "error" in empty_client.post("/run", json=run_body({"messages": messages, "x": 1})).json()
