"""Web actions of OpenWhisk's API on the host, by what its controller answers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from penstock.host.openwhisk import service, web
from penstock.host.openwhisk.actions import (
    APPLICATION_ERROR,
    DEVELOPER_ERROR,
    SUCCESS,
    Actions,
    Outcome,
)
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.guest import AT, Guest, activation, executed, refused, sequence, serving

WEB = "/api/v1/web/guest/box"
#: A page of the prediction, as a step after the model makes it.
PAGE = """
TAKES = {"prediction": "double"}
GIVES = {"body": "string", "statusCode": "int"}
EXAMPLES = [({"prediction": 2.0}, {"body": "<p>2.0</p>", "statusCode": 203})]

def run(record):
    return {"body": f"<p>{record['prediction']}</p>", "statusCode": 203}
"""


class Stage:
    """Actions without processes: what the last one was given, and how the next one ends."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.ends = Outcome(SUCCESS, {"a": 1}, [])

    async def run(self, _: Actions, __: str, ___: str, value: dict[str, Any], *____: object) -> Outcome:
        self.given = value
        return self.ends


@pytest.fixture(scope="module")
def executable(make_function: MakeFunction) -> dict[str, Any]:
    return executed(make_function(1))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(
        Actions, "run", lambda self, key, number, value, *_: made.run(self, key, number, value)
    )
    return made


def exported(guest: Guest, executable: dict[str, Any], **annotations: Any) -> None:
    """`box/shift` as a web action, with a parameter of its own and one of its package."""
    given = [{"key": "web-export", "value": True}]
    given += [{"key": key.replace("_", "-"), "value": value} for key, value in annotations.items()]
    content = {
        "exec": executable,
        "annotations": given,
        "parameters": [{"key": "own", "value": 1}, {"key": "open", "value": None}],
    }
    package = {"parameters": [{"key": "shared", "value": 2}]}
    assert guest.put(f"{AT}/packages/box?overwrite=true", json=package).status_code == 200
    assert guest.put(f"{AT}/actions/box/shift?overwrite=true", json=content).status_code == 200


@pytest.fixture
def put(guest: Guest, executable: dict[str, Any], stage: Stage) -> Any:
    """Makes `box/shift` a web action with these annotations besides."""

    def make(**annotations: Any) -> None:
        exported(guest, executable, **annotations)

    return make


@pytest.fixture
def anybody(whisk: TestClient) -> Iterator[httpx.Client]:
    """Who has no key."""
    token = whisk.headers.pop("Authorization")
    yield whisk
    whisk.headers["Authorization"] = token


def test_a_page_of_a_function(guest: Guest, anybody: httpx.Client, make_function: MakeFunction) -> None:
    """By a real process, as HTTP and as JSON, of a query and of a body; also of a sequence."""
    package = make_function(1, steps={"steps/page/step.py": PAGE}, order=["score", "page"])
    shown = [{"key": "web-export", "value": True}]
    guest.put(f"{AT}/actions/box/shift", json={"exec": executed(package)})
    guest.put(f"{AT}/actions/box/alias", json={**sequence("shift"), "annotations": shown})
    assert anybody.get(f"{WEB}/shift.json?x=1").status_code == 404
    guest.put(f"{AT}/actions/box/shift?overwrite=true", json={"annotations": shown})
    for name in ("shift", "alias"):
        page = anybody.post(f"{WEB}/{name}.http", json={"x": 2.0})
        assert (page.status_code, page.text) == (203, "<p>3.0</p>")
        assert page.headers["content-type"] == "text/html; charset=UTF-8"
        assert anybody.post(f"{WEB}/{name}", json={"x": 2.0}).text == page.text, "http is the default"
        told = anybody.post(f"{WEB}/{name}.json", json={"x": 3.0})
        assert told.json() == {"name": "shift", "version": "1", "prediction": 4.0, "body": "<p>4.0</p>", "statusCode": 203}  # fmt: skip
        record = activation(guest, told.headers["x-openwhisk-activation-id"])
        assert record["name"] == name
        assert record["response"]["success"]
    wrong = anybody.post(f"{WEB}/shift.json", json={"x": "far"})
    assert wrong.status_code == 200
    assert wrong.json()["faults"][0]["field"] == "x"


@pytest.mark.parametrize(
    "path",
    [
        "guest/box/none.json",
        "guest/none/shift.json",
        "guest/default/shift.json",
        "none/box/shift.json",
        "guest/box/shift.xml",
        "guest/box/shift.jsonx",
        "guest/box/.json",
        "guest/box/",
        "guest/box",
        "_/box/shift.json",
    ],
)
def test_what_is_not_there(put: Any, anybody: httpx.Client, path: str) -> None:
    """Names, and extensions that there are none of, which are then part of a name."""
    put()
    refused(anybody.get(f"/api/v1/web/{path}"), 404, "does not exist")


@pytest.mark.parametrize("value", [False, "true", 1, None])
def test_what_is_not_exported(put: Any, anybody: httpx.Client, value: Any) -> None:
    """Only the annotation that is true opens it."""
    put(web_export=value)
    refused(anybody.get(f"{WEB}/shift.json"), 404, "does not exist")


def test_an_action_in_no_package(guest: Guest, anybody: httpx.Client, stage: Stage, executable: Any) -> None:
    """Its package is `default`."""
    shown = [{"key": "web-export", "value": True}]
    guest.put(f"{AT}/actions/shift", json={"exec": executable, "annotations": shown})
    assert anybody.get("/api/v1/web/guest/default/shift.json").json() == {"a": 1}


def test_what_an_action_is_told(put: Any, anybody: httpx.Client, stage: Stage) -> None:
    """Query, body and the request itself, the later over the earlier, over the action's own and its package's."""
    put()
    anybody.put(f"{WEB}/shift.json/a%20b/c?x=1&y=2&own=3", json={"y": 3, "z": [4]}, headers={"X-A": "b"})
    headers = stage.given.pop("__ow_headers")
    assert headers["x-a"] == "b"
    assert headers["content-type"] == "application/json"
    assert stage.given == {
        "x": "1", "y": 3, "z": [4], "own": "3", "open": None, "shared": 2,
        "__ow_method": "put", "__ow_path": "/a%20b/c",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "content", "given"),
    [
        ("application/json", b"", {}),
        ("application/json", b"[1]", {"__ow_body": [1]}),
        ("application/merge-patch+json", b'{"x": 1}', {"x": 1}),
        ("application/x-www-form-urlencoded", b"x=a+b&y=", {"x": "a b", "y": ""}),
        ("text/plain; charset=utf-8", "ä".encode(), {"__ow_body": "ä"}),
        ("application/xml", b"<a/>", {"__ow_body": "<a/>"}),
        ("image/png", b"\0\1", {"__ow_body": base64.b64encode(b"\0\1").decode()}),
        (None, b"a", {"__ow_body": base64.b64encode(b"a").decode()}),
    ],
)
def test_bodies(put: Any, anybody: httpx.Client, stage: Stage, kind: str | None, content: bytes, given: dict[str, Any]) -> None:  # fmt: skip
    """Fields of JSON and of forms are parameters; others come as they are, or in base64."""
    put()
    answer = anybody.post(
        f"{WEB}/shift.json", content=content, headers={"Content-Type": kind} if kind else {}
    )
    assert answer.status_code == 200, answer.text
    kept = {"own", "open", "shared", "__ow_method", "__ow_headers", "__ow_path"}
    assert {name: value for name, value in stage.given.items() if name not in kept} == given


def test_a_raw_action(put: Any, anybody: httpx.Client, stage: Stage) -> None:
    """It reads query and body itself, and JSON comes in base64; nobody's parameters are its own."""
    put(raw_http=True, final=True)
    anybody.post(f"{WEB}/shift.json?own=1&__ow_body=2", json={"own": 3})
    assert stage.given["__ow_query"] == "own=1&__ow_body=2"
    assert base64.b64decode(stage.given["__ow_body"]) == b'{"own":3}'
    assert stage.given["own"] == 1
    anybody.get(f"{WEB}/shift.json")
    assert (stage.given["__ow_query"], stage.given["__ow_body"]) == ("", "")


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({"own": 2}, {}),
        ({}, {"own": 2}),
        ({}, {"shared": 3}),
        ({"__ow_user": "root"}, {}),
        ({}, {"__ow_headers": {}}),
        ({"__ow_body": "x"}, {}),
    ],
)
def test_what_nobody_may_give(put: Any, anybody: httpx.Client, stage: Stage, query: Any, body: Any) -> None:
    """Parameters with a value, where they are final, and what tells of the request; the action is not asked."""
    put(final=True)
    said = "Request defines parameters that are not allowed"
    refused(anybody.post(f"{WEB}/shift.json", params=query, json=body), 400, said)
    assert stage.given == {}
    assert anybody.post(f"{WEB}/shift.json", json={"open": 1, "x": 2}).status_code == 200


@pytest.mark.parametrize(("wanted", "header"), [("s3cret", "s3cret"), (17, "17"), ("ä", "ä")])
def test_a_secret(put: Any, anybody: httpx.Client, stage: Stage, wanted: Any, header: str) -> None:
    """401 without it, or with another one, whatever key there is; the body is not read before."""
    put(require_whisk_auth=wanted)
    for headers in (
        {},
        {"X-Require-Whisk-Auth": "x"},
        {"X-Require-Whisk-Auth": ""},
        {"X-Require-Whisk-Auth": "true"},
    ):
        refused(
            anybody.post(f"{WEB}/shift.json", content=b"{", headers=headers), 401, "not yet been provided"
        )
    assert stage.given == {}
    given = {"X-Require-Whisk-Auth": header.encode()}
    assert anybody.get(f"{WEB}/shift.json", headers=given).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", [None, [], {"a": 1}])
def test_a_secret_that_is_none_opens_to_nobody(put: Any, anybody: httpx.Client, wanted: Any) -> None:
    put(require_whisk_auth=wanted)
    assert anybody.get(f"{WEB}/shift.json", headers={"X-Require-Whisk-Auth": "null"}).status_code == 401


def test_the_key_of_a_namespace(put: Any, guest: Guest, anybody: httpx.Client, stage: Stage) -> None:
    """`require-whisk-auth` that is true wants one, of any namespace, whose name the action is told; false wants none."""
    put(require_whisk_auth=True)
    assert anybody.get(f"{WEB}/shift.json").status_code == 401
    assert anybody.get(f"{WEB}/shift.json", auth=("a", "b")).status_code == 401
    assert guest.get(f"{WEB}/shift.json").status_code == 200
    assert stage.given["__ow_user"] == "guest"
    put(require_whisk_auth=False)
    assert anybody.get(f"{WEB}/shift.json", auth=("a", "b")).status_code == 200
    assert "__ow_user" not in stage.given


def test_pages_of_others(put: Any, anybody: httpx.Client, stage: Stage) -> None:
    """Any may ask, and OPTIONS is answered for the action, unless it does that itself: then by everybody."""
    put(require_whisk_auth="s3cret")
    preflight = anybody.options(f"{WEB}/shift.json", headers={"Access-Control-Request-Headers": "X-A"})
    assert (preflight.status_code, preflight.content, stage.given) == (200, b"", {})
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == "X-A"
    assert anybody.get(f"{WEB}/shift.json").headers["access-control-allow-origin"] == "*", "of a 401, too"
    put(require_whisk_auth="s3cret", web_custom_options=True)
    own = anybody.options(f"{WEB}/shift.json")
    assert stage.given["__ow_method"] == "options"
    assert "access-control-allow-origin" not in own.headers
    assert anybody.get(f"{WEB}/shift.json").status_code == 401


def test_how_an_activation_ends(put: Any, anybody: httpx.Client, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """An application's error is its answer; another one is a 400, one that is not there yet a 202; each has its number."""
    put()
    cases = [
        (Outcome.error(APPLICATION_ERROR, {"statusCode": 418, "body": "tea"}), ".http", 418),
        (Outcome.error(APPLICATION_ERROR, {"why": 1}), ".json", 200),
        (Outcome.error(APPLICATION_ERROR, "why"), ".json", 400),
        (Outcome.error(DEVELOPER_ERROR, "why"), ".json", 400),
        (Outcome(SUCCESS, [1], []), ".http", 400),
    ]
    for ends, extension, status in cases:
        stage.ends = ends
        answer = anybody.get(f"{WEB}/shift{extension}")
        assert (answer.status_code, len(answer.headers["x-openwhisk-activation-id"])) == (status, 32)
    monkeypatch.setattr(web, "BLOCKING", 0)
    refused(anybody.get(f"{WEB}/shift.json"), 202, "Response not yet ready.")


def test_bounds(put: Any, anybody: httpx.Client, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of 1 MiB is too large, told before or not; JSON that is none; more at once than the namespace may have."""
    put()
    too_large = b"a" * 2**20
    for content in (too_large, iter([too_large])):
        refused(anybody.post(f"{WEB}/shift.json", content=content), 413, "more than")
    kind = {"Content-Type": "application/json"}
    for content in (b"{", b"[" * 100_000):
        refused(anybody.post(f"{WEB}/shift.json", content=content, headers=kind), 400, "malformed")
    monkeypatch.setattr(service, "MAX_CONCURRENT", 0)
    refused(anybody.get(f"{WEB}/shift.json"), 429, "Too many concurrent")
    assert stage.given == {}


def test_annotations_are_taken_away(put: Any, guest: Guest, anybody: httpx.Client) -> None:
    """By `delAnnotations`: others stay; what is given beside is there."""
    put(require_whisk_auth="s3cret")
    change = {"annotations": [{"key": "a", "value": 1}], "delAnnotations": ["require-whisk-auth", "none"]}
    put_again = guest.put(f"{AT}/actions/box/shift?overwrite=true", json=change).json()
    assert {each["key"] for each in put_again["annotations"]} == {"web-export", "a"}
    assert anybody.get(f"{WEB}/shift.json").status_code == 200


def test_another_host_on_the_same_folder(tmp_path: Path, executable: dict[str, Any], stage: Stage) -> None:
    """It opens what was open, to whom it was open."""
    with serving(tmp_path) as host:
        guest = Guest(host)
        guest.put(f"{AT}/packages/box", json={})
        exported(guest, executable, require_whisk_auth="s3cret")
    with serving(tmp_path) as host:
        assert host.get(f"{WEB}/shift.json").status_code == 401
        assert host.get(f"{WEB}/shift.json", headers={"X-Require-Whisk-Auth": "s3cret"}).json() == {"a": 1}
