"""What the gateway lets through to a function, by its ASGI app alone: the functions are a stand-in that notes what it is asked.

With real functions it is tested in test_gateway.py.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.gateway.app import Gateway
from penstock.host.gateway.rates import Rate
from penstock.host.limits import Limits
from penstock.host.proxy import Proxy
from penstock.host.state import StateFolder
from penstock.host.upload import read_body
from tests.whole import Asked

ROUTES = """
[[routes]]
path = "/v1/delays"
function = "delays"
auth = "none"
calls = ["POST /predict", "GET /health", "GET /v2", "POST /v2"]

[[routes]]
path = "/v1/fares"
function = "fares"
auth = "key"
keys = ["mobile"]
"""
OPEN = ["/v1/delays/predict", "/v1/delays/health", "/v1/delays/v2/models/delays/infer", "/v1/fares/predict"]
#: Of what paths that lead elsewhere are made.
PARTS = st.lists(
    st.sampled_from(
        ["/", "//", ".", "..", "/v1", "/delays", "/fares", "/predict", "/v2", "/health", "/functions", "/token", "/metrics",
         "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", "%00", "%0d%0a", "?", "#", "/init", "/run", "/docs", "é", " "]
    ),
    max_size=8,
).map("".join)  # fmt: skip


class Noting:
    """What the gateway needs of a proxy: notes what is passed on, and answers as it is told; what came whole where it is `ready`."""

    def __init__(self, limits: Limits) -> None:
        self.passed: list[tuple[str, str, dict[str, str], bytes, str | None]] = []
        self.error: HostError | None = None
        self.hold: asyncio.Event | None = None
        self._limits = limits
        self.taken = 0

    def would_take(self, name: str, body: bytes) -> bool:
        """Where it would take it."""
        return len(body) <= self._limits.request_bytes

    def take(
        self,
        name: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        answered: Callable[[int, list[tuple[bytes, bytes]], bytes], None],
        refused: Callable[[HostError], None],
    ) -> bool:
        """As `forward`, later."""
        self.taken += 1
        request = Request({"type": "http", "headers": headers})
        self.passed.append((name, "predict", dict(request.headers), body, None))

        async def answer() -> None:
            if self.hold is not None:
                await self.hold.wait()
            if self.error is not None:
                refused(self.error)
            else:
                response = self._answer()
                answered(response.status_code, response.raw_headers, bytes(response.body))

        self._answering = asyncio.create_task(answer())
        return True

    async def forward(self, name: str, path: str, request: Request, revision: str | None) -> Response:
        """Take the body as a proxy does."""
        body = await read_body(request, limit=self._limits.request_bytes, seconds=self._limits.body_seconds)
        self.passed.append((name, path, dict(request.headers), body, revision))
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return self._answer()

    def _answer(self) -> Response:
        return JSONResponse({"ok": True}, headers={"x-penstock-revision": "v1-0123456789ab"})


class Answered:
    """An answer of the gateway."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = {name.decode(): value.decode() for name, value in headers}
        assert len(self.headers) == len(headers)
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stand:
    """A gateway over `Noting`, which is shown requests that came `whole`, or none."""

    whole = False

    def __init__(self, folder: Path, text: str = ROUTES, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.path = folder / "gateway.toml"
        self.path.write_text(text)
        state = StateFolder(folder / "state")
        state.open()
        self.proxy = Noting(limits)
        self.gateway = Gateway(self.path, state, cast(Functions, None), cast(Proxy, self.proxy), limits)
        self.log = state.root / "gateway" / "access.log"

    async def send(
        self,
        path: str,
        method: str = "POST",
        headers: list[tuple[str, str]] | None = None,
        body: tuple[bytes, ...] = (b"{}",),
        pause: float = 0.0,
        host: str = "localhost",
    ) -> Answered:
        """Ask as the server hands a request on."""
        left, messages = list(body), []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(pause)
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Any) -> None:
            messages.append(message)

        raw = path.encode()
        given = [("host", host), *(headers or [])]
        sent = [(name.lower().encode(), value.encode("latin-1")) for name, value in given]
        comes_whole = len(body) == 1 and not pause and b"content-length" not in dict(sent)
        if self.whole and method == "POST" and comes_whole:
            asked = Asked(raw, sent, body[0])
            if self.gateway.take(asked):
                return Answered(*await asked.answered())
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": raw, "query_string": b"q=secret", "client": ("192.0.2.7", 1),
            "headers": sent,
        }  # fmt: skip
        await self.gateway(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in messages[1:])
        return Answered(messages[0]["status"], messages[0]["headers"], content)

    def ask(self, path: str, method: str = "POST", **more: Any) -> Answered:
        return asyncio.run(self.send(path, method, **more))

    def lines(self) -> list[dict[str, Any]]:
        """What the access log has."""
        return [json.loads(line) for line in self.log.read_text().split("\n") if line]


@pytest.fixture(autouse=True, params=[False, True], ids=["asgi", "whole"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything holds either way."""
    monkeypatch.setattr(Stand, "whole", request.param)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def test_usual_requests_are_taken_whole(stand: Stand) -> None:
    """And none that must be told something else, or that is for another protocol."""
    assert stand.ask("/v1/delays/predict").status == 200
    assert stand.proxy.taken == int(stand.whole)
    for path, more in (
        ("/v1/delays/v2/models/delays/infer", {}),
        ("/v1/fares/predict", {}),
        ("/v1/delays/predict", {"host": "elsewhere"}),
        ("/v1/delays/predict", {"body": (b"{", b"}")}),
    ):
        stand.ask(path, **more)
    assert stand.proxy.taken == int(stand.whole)


@given(
    st.one_of(
        PARTS, st.text(), st.sampled_from(OPEN).flatmap(lambda path: PARTS.map(lambda more: path + more))
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_what_is_open_is_reached(stand: Stand, path: str) -> None:
    """Whatever is put together of dots, slashes and escapes: what is passed on is the very page of the very route."""
    stand.proxy.passed.clear()
    asked = stand.ask(path)
    opened = path in ("/v1/delays/predict", "/v1/delays/v2") or path.startswith("/v1/delays/v2/")
    for name, page, *_ in stand.proxy.passed:
        assert (name, opened) == ("delays", True)
        assert f"/v1/delays/{page}" == path
        assert not set(page) & set("%\\;?# ")
        assert not {"..", ".", ""} & set(page.split("/"))
    assert asked.status == 200 if stand.proxy.passed else asked.status in (400, 401, 404, 405)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1/delays/predict", "POST", 200),
        ("/v1/delays/predict", "GET", 405),
        ("/v1/delays/predict", "DELETE", 405),
        ("/v1/delays/health", "GET", 200),
        ("/v1/delays/health", "HEAD", 405),
        ("/v1/delays/v2/models/delays", "GET", 200),
        ("/v1/delays", "POST", 404),
        ("/v1/delays/predict/", "POST", 404),
        ("/v1/delays/metrics", "GET", 404),
        ("/v1/delays/openapi.json", "GET", 404),
        ("/v1/delays/init", "POST", 404),
        ("/v1/fares/health", "GET", 404),
        ("/v1/fares/v2/models/fares/infer", "POST", 404),
        ("/delays/predict", "POST", 404),
        ("/functions/delays/predict", "POST", 404),
        ("/functions", "GET", 404),
        ("/gateway/keys", "GET", 404),
        ("/health", "GET", 200),
        ("/health", "POST", 405),
    ],
)
def test_what_is_there(stand: Stand, path: str, method: str, status: int) -> None:
    """Pages and methods that a route names, and the gateway's own; a 405 says which methods are served."""
    asked = stand.ask(path, method)
    assert asked.status == status
    if status == 405:
        assert method not in asked.headers["allow"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost:", "localhost:1@evil.example"]
)
def test_another_name(stand: Stand, host: str) -> None:
    """On loopback the gateway answers by names of loopback: a browser that was led here gets nothing."""
    assert stand.ask("/v1/delays/predict", host=host).status == 400
    assert stand.proxy.passed == []


def test_what_of_a_request_is_passed_on(stand: Stand) -> None:
    """Its body and what speaks of it; never keys, nor what a caller says of itself or of its way here."""
    key = stand.gateway.keys.create("mobile")
    headers = [
        ("Content-Type", "application/json"),
        ("traceparent", "00-1"),
        ("X-API-Key", key),
        ("X-Penstock-Caller", "key:admin"),
        ("x_penstock_caller", "key:admin"),
        ("X-Penstock-Revision", "v9"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
    ]
    assert stand.ask("/v1/fares/predict", headers=headers, body=(b'{"a"', b": 1}")).status == 200
    ((name, page, passed, body, revision),) = stand.proxy.passed
    assert (name, page, body, revision) == ("fares", "predict", b'{"a": 1}', None)
    assert passed.pop("x-request-id")
    assert passed == {
        "host": "localhost",
        "content-type": "application/json",
        "traceparent": "00-1",
        "x-penstock-caller": "key:mobile",
    }


def test_no_caller_takes_away_what_is_known_of_it(stand: Stand) -> None:
    """Connection can name headers as its own, but not the gateway's."""
    named = [("Connection", "close, X-Penstock-Caller, X-Request-Id, X-Private"), ("X-Private", "1")]
    assert stand.ask("/v1/delays/predict", headers=named).status == 200
    passed = stand.proxy.passed[0][2]
    assert passed["x-penstock-caller"] == "address:192.0.2.7"
    assert "x-request-id" in passed
    assert not {"connection", "x-private"} & set(passed)


@pytest.mark.parametrize("given", ["trace-1.A_b", "a" * 64])
def test_a_callers_own_request_id(stand: Stand, given: str) -> None:
    """One that is sane is kept: in the function's request, in the answer and in the log."""
    asked = stand.ask("/v1/delays/predict", headers=[("X-Request-Id", given)])
    assert asked.headers["x-request-id"] == given
    assert stand.proxy.passed[0][2]["x-request-id"] == given
    assert stand.lines()[0]["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "é", '"}{"', "a\tb", "<script>"])
def test_a_request_id_that_is_none(stand: Stand, given: str) -> None:
    """Another one takes its place."""
    asked = stand.ask("/v1/delays/predict", headers=[("X-Request-Id", given)])
    assert asked.headers["x-request-id"] == stand.lines()[0]["request_id"] != given
    assert len(asked.headers["x-request-id"]) == 32


def test_keys(stand: Stand) -> None:
    """None, a wrong one, two of them, or one that the route does not name: refused before the body is read."""
    mobile, web = stand.gateway.keys.create("mobile"), stand.gateway.keys.create("web")

    def status(*keys: str) -> int:
        headers = [("X-API-Key", key) for key in keys]
        return stand.ask(
            "/v1/fares/predict", headers=headers, body=()
        ).status  # asked for a body, it would fail

    assert [status(), status("mobile.x"), status(f"{mobile}x"), status(mobile, mobile)] == [401] * 4
    assert status(web) == 403
    assert stand.ask("/v1/fares/predict", headers=[("X-API-Key", mobile)]).status == 200
    assert stand.ask("/v1/fares/predict", headers=[("Authorization", f"Bearer {mobile}")]).status == 401
    stand.gateway.keys.revoke("mobile")
    refused = stand.ask("/v1/fares/predict", headers=[("X-API-Key", mobile)])
    assert refused.status == 401
    assert refused.headers["www-authenticate"] == 'ApiKey header="x-api-key"'
    assert refused.headers["connection"] == "close"


@pytest.mark.parametrize("subject", ["anna", "auth0|7", "a\r\nx-admin: 1", "é", "key:mobile"])
def test_tokens(tmp_path: Path, subject: str) -> None:
    """Whose it is the function is told, and the log, in one header and one line whatever that says; without one it is a 401."""
    secret = b"0123456789abcdef0123456789abcdef"
    keys = {"keys": [{"kty": "oct", "k": base64.urlsafe_b64encode(secret).decode().rstrip("=")}]}
    (tmp_path / "jwks.json").write_text(json.dumps(keys))
    declared = '[jwt]\nissuer = "us"\naudience = "functions"\nalgorithms = ["HS256"]\nkeys = "jwks.json"\n'
    stand = Stand(tmp_path, declared + ROUTES.replace('"none"', '"jwt"'))
    claims = {"iss": "us", "aud": "functions", "sub": subject, "exp": int(time.time()) + 60}
    token = jwt.encode(claims, secret, "HS256")
    assert stand.ask("/v1/delays/predict", headers=[("Authorization", f"Bearer {token}")]).status == 200
    passed = stand.proxy.passed[0][2]
    assert unquote(passed["x-penstock-caller"]) == f"jwt:{subject}"
    assert passed["x-penstock-caller"].isascii()
    assert passed["x-penstock-caller"].isprintable()
    assert [line["caller"] for line in stand.lines()] == [f"jwt:{subject}"]
    for wrong in (f"Bearer {token}x", f"Basic {token}", token, "Bearer", ""):
        refused = stand.ask("/v1/delays/predict", headers=[("Authorization", wrong)])
        assert (refused.status, refused.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert token not in stand.log.read_text()


def test_no_secret_is_logged(stand: Stand) -> None:
    """Neither a key, right or wrong, nor a query, nor a body; the caller's name is."""
    key = stand.gateway.keys.create("mobile")
    for sent in (key, "mobile.wrong-secret"):
        stand.ask(
            "/v1/fares/predict",
            headers=[("X-API-Key", sent), ("Authorization", "Bearer wrong-secret")],
            body=(b"private",),
        )
    text = stand.log.read_text()
    for secret in (key, key.partition(".")[2], "wrong-secret", "private", "secret"):
        assert secret not in text
    assert [line["caller"] for line in stand.lines()] == ["key:mobile", None]


@given(st.text(), st.text(st.characters(max_codepoint=255)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_request_is_one_line(stand: Stand, path: str, given: str) -> None:
    """Line breaks and quotes in a path, a header or an id make no other line, whatever reads the file."""
    stand.log.unlink(missing_ok=True)
    stand.gateway._log.close()
    stand.ask(path, headers=[("X-Request-Id", given), ("X-API-Key", given), ("Host", given)])
    text = stand.log.read_text()
    assert text.isascii()
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert all(character.isprintable() for character in text[:-1])
    assert json.loads(text)["client"] == "192.0.2.7"


def test_the_log_is_bounded(tmp_path: Path) -> None:
    """However many requests, two files of the limit stay, which nobody else reads."""
    stand = Stand(tmp_path, limits=Limits(gateway_log_bytes=4000))
    for _ in range(60):
        stand.ask("/" + "x" * 10_000)
    files = sorted(stand.log.parent.glob("access.log*"))
    assert [file.name for file in files] == ["access.log", "access.log.1"]
    assert all(0 < file.stat().st_size <= 4000 for file in files)


def test_a_log_without_room(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs lines, and no answers."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("penstock.host.gateway.access_log._Files.format", full)
    assert stand.ask("/v1/delays/predict").status == 200


@pytest.mark.parametrize("declared", [True, False], ids=["as declared", "as it came"])
def test_a_body_too_large(tmp_path: Path, declared: bool) -> None:
    """413, and the connection ends: the rest of it is no request."""
    stand = Stand(tmp_path, limits=Limits(request_bytes=100))
    headers, body = ([("Content-Length", "101")], (b"",)) if declared else ([], (b"x" * 60, b"x" * 60))
    asked = stand.ask("/v1/delays/predict", headers=headers, body=body)
    assert (asked.status, asked.headers["connection"]) == (413, "close")
    assert stand.proxy.passed == []


def test_a_body_that_does_not_come(tmp_path: Path) -> None:
    """408: a slow sender holds its place no longer than that."""
    stand = Stand(tmp_path, limits=Limits(body_seconds=0.05))
    asked = stand.ask("/v1/delays/predict", body=(b"a", b"b"), pause=0.2)
    assert (asked.status, asked.headers["connection"]) == (408, "close")


def test_too_many_at_once(tmp_path: Path) -> None:
    """Beyond the bound 503 at once, with when to come back; those in work are answered."""
    stand = Stand(tmp_path, limits=Limits(gateway_requests=2))

    async def crowd() -> list[Asked]:
        stand.proxy.hold = asyncio.Event()
        first = [asyncio.create_task(stand.send("/v1/delays/predict")) for _ in range(2)]
        while len(stand.proxy.passed) < 2:
            await asyncio.sleep(0)
        late = await stand.send("/v1/delays/predict")
        stand.proxy.hold.set()
        return [late, *await asyncio.gather(*first), await stand.send("/v1/delays/predict")]

    late, *others = asyncio.run(crowd())
    assert (late.status, late.headers["retry-after"]) == (503, "1")
    assert [asked.status for asked in others] == [200, 200, 200]


@pytest.mark.parametrize(
    ("behind", "status"), [(404, 503), (422, 503), (500, 503), (502, 502), (503, 503), (504, 504), (507, 503)]
)
def test_what_fails_behind_it(stand: Stand, behind: int, status: int) -> None:
    """Callers are told that, and when to try again; why is the operator's, in the log."""
    stand.proxy.error = HostError(
        behind, "v7-0123 is backoff: /srv/var/host", next_step="GET /functions/x/logs", retry_after=7
    )
    asked = stand.ask("/v1/delays/predict")
    assert (asked.status, asked.headers["retry-after"]) == (status, "7")
    assert not {"v7", "/srv", "/functions"} & set(asked.body.decode().split())
    assert "v7-0123" not in asked.body.decode()
    assert stand.lines()[0]["error"] == "v7-0123 is backoff: /srv/var/host"


def test_the_limit_of_who_is_known_by_address(tmp_path: Path) -> None:
    """Each address has its own, of IPv6 each network of one customer; the answer says what is left."""
    stand = Stand(tmp_path, ROUTES.replace('auth = "none"', 'auth = "none"\nlimit = "2/day"'))
    answers = [stand.ask("/v1/delays/predict") for _ in range(3)]
    assert [asked.status for asked in answers] == [200, 200, 429]
    assert [asked.headers["ratelimit"].split(";")[1] for asked in answers] == ["r=1", "r=0", "r=0"]
    assert answers[2].headers["ratelimit-policy"] == '"route";q=2;w=86400'
    assert answers[2].headers["retry-after"] == "43200"
    assert len(stand.proxy.passed) == 2


def test_the_limit_of_a_key(tmp_path: Path) -> None:
    """Its own in place of the file's, over all routes together."""
    text = f'limit = "1/day"\n{ROUTES}\n[[routes]]\npath = "/v2/fares"\nfunction = "fares"\nauth = "key"\n'
    stand = Stand(tmp_path, text)
    key, plain = stand.gateway.keys.create("mobile", Rate(3, 86400)), stand.gateway.keys.create("web")

    def statuses(key: str) -> list[int]:
        paths = ["/v1/fares/predict", "/v2/fares/predict"] * 2
        return [stand.ask(path, headers=[("X-API-Key", key)]).status for path in paths]

    assert statuses(key) == [200, 200, 200, 429]
    assert statuses(plain) == [403, 200, 403, 429]


def test_pages_of_other_origins(tmp_path: Path) -> None:
    """Those that a route names may send what it takes and read the answer, also of a refusal; others may not, nor elsewhere."""
    stand = Stand(tmp_path, ROUTES.replace('auth = "key"', 'auth = "key"\norigins = ["https://app.example"]'))

    def ask(path: str, origin: str, method: str = "OPTIONS") -> Asked:
        headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "x-api-key"),
        ]
        return stand.ask(path, method, headers=headers)

    allowed = ask("/v1/fares/predict", "https://app.example")
    assert allowed.status == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert allowed.headers["access-control-allow-methods"] == "POST"
    assert "access-control-allow-credentials" not in allowed.headers
    refused = ask("/v1/fares/predict", "https://app.example", "POST")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
    for path, origin in (
        ("/v1/fares/predict", "https://evil.example"),
        ("/v1/delays/predict", "https://app.example"),
    ):
        assert "access-control-allow-origin" not in ask(path, origin).headers
    assert stand.proxy.passed == []


def test_the_file_read_again(stand: Stand) -> None:
    """What it says now holds at once; one that is wrong, or would move the gateway, changes nothing."""
    key = stand.gateway.keys.create("mobile")
    stand.path.write_text(ROUTES.replace("/v1/", "/v2/"))
    asyncio.run(stand.gateway.reload())
    assert [stand.ask(f"/v{n}/delays/predict").status for n in (1, 2)] == [404, 200]
    for wrong, said in (
        ("port = ", "is no TOML"),
        ('[[routes]]\npath = "/x"', "routes.0..function"),
        ("port = 1", "as long as the host"),
    ):
        stand.path.write_text(wrong)
        with pytest.raises(HostError, match=said) as caught:
            asyncio.run(stand.gateway.reload())
        assert caught.value.status == 422
        assert stand.ask("/v2/fares/predict", headers=[("X-API-Key", key)]).status == 200


def test_the_page_needs_nothing_from_elsewhere(stand: Stand) -> None:
    """It may run its own script and call this gateway, and names no other server."""
    asked = stand.ask("/docs", "GET")
    assert "default-src 'none'" in asked.headers["content-security-policy"]
    assert b"http://" not in asked.body
    assert b"https://" not in asked.body
    assert stand.ask("/openapi.json", "GET").status == 401
