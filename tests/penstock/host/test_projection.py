"""What a web action answers with, by its result: the controller's own mapping, case by case."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import Response

from penstock.host.errors import HostError
from penstock.host.openwhisk.projection import EXTENSIONS, MediaType

HTML = "text/html; charset=UTF-8"


def shown(response: Response) -> tuple[int, str | None, bytes]:
    return response.status_code, response.headers.get("content-type"), bytes(response.body)


def typed(kind: str, body: Any) -> dict[str, Any]:
    return {"headers": {"Content-Type": kind}, "body": body}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({}, (204, None, b"")),
        ({"body": ""}, (204, None, b"")),
        ({"body": None, "statusCode": 201}, (201, None, b"")),
        ({"body": "hello"}, (200, HTML, b"hello")),
        ({"body": "no", "statusCode": 404}, (404, HTML, b"no")),
        ({"body": "no", "statusCode": "404"}, (404, HTML, b"no")),
        ({"body": "no", "statusCode": 404.0}, (404, HTML, b"no")),
        ({"body": "none", "statusCode": 204}, (204, None, b"")),
        ({"body": {"a": "ä"}}, (200, "application/json", '{"a": "ä"}'.encode())),
        ({"body": [1]}, (200, "application/json", b"[1]")),
        ({"body": 1.5}, (200, "application/json", b"1.5")),
        ({"body": False}, (200, "application/json", b"false")),
        (typed("text/plain", "ä"), (200, "text/plain; charset=UTF-8", "ä".encode())),
        (typed("text/plain; charset=latin-1; a=b", "ä"), (200, "text/plain; a=b; charset=UTF-8", "ä".encode())),
        (typed("image/png", "AAEC"), (200, "image/png", b"\0\1\2")),
        (typed("application/json", "eyJhIjoxfQ=="), (200, "application/json", b'{"a":1}')),
        (typed("application/json", '{"a":1}'), (200, "application/json", b'{"a":1}')),
        (typed("application/problem+json", {"a": 1}), (200, "application/problem+json", b'{"a": 1}')),
    ],
)  # fmt: skip
def test_http(result: dict[str, Any], expected: tuple[int, str | None, bytes]) -> None:
    """Status, type and body, by what is said of them and what the body is."""
    assert shown(EXTENSIONS[".http"](result)) == expected


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([], "message/http"),
        ("hello", "message/http"),
        (None, "message/http"),
        ({"statusCode": 99}, "message/http"),
        ({"statusCode": 100}, "message/http"),
        ({"statusCode": 299}, "message/http"),
        ({"statusCode": 200.5}, "message/http"),
        ({"statusCode": float("inf")}, "message/http"),
        ({"statusCode": True}, "message/http"),
        ({"statusCode": None}, "message/http"),
        ({"statusCode": "many"}, "message/http"),
        ({"headers": []}, "message/http"),
        ({"headers": {"a": {}}}, "message/http"),
        ({"headers": {"a": None}}, "message/http"),
        ({"headers": {"a": "b\r\nSet-Cookie: c"}}, "message/http"),
        ({"headers": {"a": "€"}}, "message/http"),
        ({"headers": {"a b": "c"}}, "message/http"),
        ({"headers": {"": "c"}}, "message/http"),
        (typed("text", "a"), "known content-type"),
        (typed("image/png", "not base64!"), "did not match"),
        (typed("text/html", {"a": 1}), "did not match"),
        ({"body": "\ud800"}, "did not match"),
    ],
)
def test_what_is_no_answer(result: Any, said: str) -> None:
    """It is a 400: nothing of what an action says ends a header's line, or the exchange before its end."""
    with pytest.raises(HostError, match=said) as caught:
        EXTENSIONS[".http"](result)
    assert caught.value.status == 400


def test_headers() -> None:
    """Of several values one each; what is the server's to say is left to it."""
    said = {"X-A": "b", "X-N": 1, "X-B": True, "Set-Cookie": ["a=1", "b=2"], "Content-Length": "1000", "Connection": "x"}  # fmt: skip
    response = EXTENSIONS[".http"]({"headers": said, "body": "hello"})
    assert response.headers["x-a"] == "b"
    assert (response.headers["x-n"], response.headers["x-b"]) == ("1", "true")
    assert response.headers.getlist("set-cookie") == ["a=1", "b=2"]
    assert response.headers["content-length"] == "5"
    assert "connection" not in response.headers


@pytest.mark.parametrize(
    ("extension", "result", "expected"),
    [
        (".json", {"a": 1}, (200, "application/json", b'{"a":1}')),
        (".json", [1], (200, "application/json", b"[1]")),
        (".html", {"html": "a"}, (200, "text/html; charset=utf-8", b"a")),
        (".html", {"html": "a", "body": "b"}, (200, "text/html; charset=utf-8", b"b")),
        (".html", "a", (200, "text/html; charset=utf-8", b"a")),
        (".svg", {"svg": "a"}, (200, "image/svg+xml", b"a")),
        (".text", {"text": True}, (200, "text/plain; charset=utf-8", b"true")),
        (".text", {"body": None}, (200, "text/plain; charset=utf-8", b"null")),
        (".text", "a", (200, "text/plain; charset=utf-8", b"a")),
        (".text", [1], (200, "text/plain; charset=utf-8", b"[\n  1\n]")),
    ],
)
def test_other_extensions(extension: str, result: Any, expected: tuple[int, str, bytes]) -> None:
    """A document by `body`, or by the extension's own name."""
    assert shown(EXTENSIONS[extension](result)) == expected


@pytest.mark.parametrize(
    ("extension", "result", "status"),
    [
        (".json", "a", 400),
        (".json", None, 400),
        (".html", {"html": 1}, 400),
        (".html", {}, 400),
        (".svg", {"html": "a"}, 400),
        (".text", {"a": 1}, 404),
    ],
)
def test_what_an_extension_does_not_find(extension: str, result: Any, status: int) -> None:
    """It is told, and no document is made up."""
    with pytest.raises(HostError) as caught:
        EXTENSIONS[extension](result)
    assert caught.value.status == status


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "statusCode": st.integers(0, 700) | JSON,
        "headers": st.dictionaries(st.text(max_size=4) | st.just("Content-Type"), JSON, max_size=3) | JSON,
        "body": JSON,
    },
)


@given(st.sampled_from(sorted(EXTENSIONS)), LIKELY | JSON)
@example(".http", {"headers": {"a": "\n"}})
@example(".http", {"headers": {"Content-Type": "text/html\r\n"}, "body": "a"})
def test_any_result_is_answered_or_refused(extension: str, result: Any) -> None:
    """No header has a line's end in it, and every final status comes with a body that it may have."""
    try:
        response = EXTENSIONS[extension](result)
    except HostError as error:
        if error.status not in (400, 404):
            raise
        return
    assert 200 <= response.status_code < 600
    for name, value in response.raw_headers:
        assert not set(name + value) & set(b"\r\n\0")
    if response.status_code in (204, 304):
        assert response.body == b""


@given(st.binary(max_size=40))
def test_bytes_come_through(content: bytes) -> None:
    """Any body of a binary type, in base64."""
    said = base64.b64encode(content).decode()
    response = EXTENSIONS[".http"](typed("application/octet-stream", said) | {"statusCode": 200})
    assert bytes(response.body) == content


@pytest.mark.parametrize(
    ("given", "text", "is_json"),
    [
        ("text/csv", True, False),
        ("application/json; charset=utf-8", True, True),
        ("application/vnd.api+json", True, True),
        ("application/xml", True, False),
        ("application/atom+xml", True, False),
        ("image/svg+xml", False, False),
        ("application/octet-stream", False, False),
        ("application/octet-stream; charset=utf-8", True, False),
        ("multipart/form-data; boundary=x", True, False),
    ],
)
def test_media_types(given: str, text: bool, is_json: bool) -> None:
    """Which of them are text."""
    kind = MediaType.parse(given)
    assert kind is not None
    assert (kind.text, kind.json) == (text, is_json)


@pytest.mark.parametrize(
    "given", ["", "text", "text/", "/html", "text/html;", "text/html; a", "a b/c", "a/b\n"]
)
def test_what_is_no_media_type(given: str) -> None:
    assert MediaType.parse(given) is None


def test_a_result_is_told_as_json_has_it() -> None:
    """Beyond ASCII too."""
    assert json.loads(bytes(EXTENSIONS[".json"]({"a": "ä€"}).body)) == {"a": "ä€"}
