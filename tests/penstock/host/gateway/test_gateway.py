"""The gateway of a real host with real functions, over the wire."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from penstock.host.app import Host
from penstock.host.limits import Limits
from penstock.host.state import HostRecord, StateFolder
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until

ROUTES = """
port = 0

[[routes]]
path = "/v2/shift"
function = "shift"
auth = "none"
calls = ["POST /predict", "GET /health", "GET /v2", "POST /v2"]

[[routes]]
path = "/counted/shift"
function = "shift"
auth = "key"
"""


class Front:
    """A host with a gateway, and a client of that."""

    def __init__(self, folder: Path) -> None:
        self.host = RunningHost(folder / "state")
        self.path = folder / "gateway.toml"
        self.declare(ROUTES)
        self.host.start("--gateway", str(self.path))
        url = json.loads((self.host.state / "host.json").read_text())["gateway"]
        self.client = httpx.Client(base_url=url, trust_env=False, timeout=30)

    def declare(self, text: str) -> None:
        self.path.write_text(text)

    def reload(self) -> httpx.Response:
        return self.host.client.post("/gateway/reload")

    def predict(self, path: str = "/v2/shift", **more: Any) -> httpx.Response:
        return self.client.post(f"{path}/predict", json={"x": 1.0}, **more)

    def key(self, name: str, limit: str | None = None) -> str:
        made = self.host.client.put(f"/gateway/keys/{name}", json={"limit": limit})
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def raw(self, sent: bytes) -> bytes:
        """Everything that comes back until the connection ends."""
        address = (self.client.base_url.host, self.client.base_url.port)
        with socket.create_connection(address, timeout=20) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            return connection.makefile("rb").read()

    def lines(self) -> list[dict[str, Any]]:
        """What the access log has of what was answered so far."""
        # A line is written once its answer is sent: whatever was answered before this has its own by now.
        self.client.get("/health")
        text = (self.host.state / "gateway" / "access.log").read_text()
        return [line for line in map(json.loads, text.splitlines()) if line["path"] != "/health"]


@pytest.fixture(scope="module")
def _front(tmp_path_factory: pytest.TempPathFactory, make_function: MakeFunction) -> Iterator[Front]:
    front = Front(tmp_path_factory.mktemp("gateway"))
    front.revision = front.host.deploy(make_function(1))  # type: ignore[attr-defined]
    yield front
    front.client.close()
    front.host.close()


@pytest.fixture
def front(_front: Front) -> Front:
    """Version 1 of `shift` is live behind the routes above; no keys."""
    for key in _front.host.client.get("/gateway/keys").json()["keys"]:
        _front.host.client.delete(f"/gateway/keys/{key['name']}").raise_for_status()
    _front.declare(ROUTES)
    assert _front.reload().status_code == 200
    return _front


def test_a_function_behind_it(front: Front) -> None:
    """Its answer, with its version and revision, by each protocol; what the function refuses stays its own refusal."""
    answer = front.predict()
    assert answer.json() == {"name": "shift", "version": "1", "prediction": 2.0}
    assert answer.headers["x-penstock-revision"].startswith("v1-")
    assert front.client.get("/v2/shift/health").json()["version"] == "1"
    tensor = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}]}
    inferred = front.client.post("/v2/shift/v2/models/shift/infer", json=tensor)
    assert inferred.json()["outputs"][0]["data"] == [2.0]
    refused = front.client.post("/v2/shift/predict", json={"y": 1.0})
    assert refused.status_code == 422
    assert front.lines()[-1]["status"] == 422


def test_the_hosts_own_api_is_elsewhere(front: Front, tmp_path: Path) -> None:
    """No path of it is there, whoever asks, by whatever name of the host; and the gateway's are not on the host."""
    state = StateFolder(tmp_path)
    state.open()
    host = Host(state, HostRecord(url="", pid=1, created=0, birth=""), Limits(), tmp_path.as_uri())
    token = front.host.client.headers["Authorization"]
    own = httpx.URL(front.host.client.base_url)
    asked = set()
    for route in host.routes():
        path = (
            route.path.replace("{name}", "shift")
            .replace("{revision}", "v1-0123456789ab")
            .replace("{rest:path}", "")
        )  # type: ignore[attr-defined]
        for method in {*(getattr(route, "methods", None) or ()), "GET", "POST", "PUT", "DELETE"}:
            for name in ("localhost", f"{own.host}:{own.port}"):
                answer = front.client.request(method, path, headers={"Authorization": token, "Host": name})
                if path != "/health":
                    assert answer.status_code == 404, (method, path)
                    assert method == "HEAD" or answer.json()["error"] == "there is nothing at this path"
                asked.add(path)
    assert len(asked) > 15
    assert front.host.client.post("/v2/shift/predict", json={"x": 1.0}).status_code == 404
    assert front.host.client.get("/functions/shift").json()["live"]


def test_exactly_as_many_as_the_limit(front: Front) -> None:
    """Of many requests at once, over many connections, as many are answered as the key may send; the others are told when."""
    key = front.key("mobile", "25/day")

    async def rush() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=30)
        async with httpx.AsyncClient(
            base_url=front.client.base_url, trust_env=False, limits=limits, timeout=60
        ) as client:
            one = [
                client.post("/counted/shift/predict", json={"x": 1.0}, headers={"x-api-key": key})
                for _ in range(80)
            ]
            return list(await asyncio.gather(*one))

    answers = asyncio.run(rush())
    assert Counter(answer.status_code for answer in answers) == {200: 25, 429: 55}
    left = sorted(
        int(answer.headers["ratelimit"].split("r=")[1].split(";")[0])
        for answer in answers
        if answer.is_success
    )
    assert left == list(range(25))
    waits = [int(answer.headers["retry-after"]) for answer in answers if not answer.is_success]
    assert all(0 < wait <= 86400 / 25 for wait in waits)


_TARGET = b"POST /v2/shift/predict HTTP/1.1\r\nHost: localhost\r\n"
_INNER = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
_CHUNKED = b"8\r\n" + b'{"x": 1}' + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        _TARGET + b"Content-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKED + _INNER,
        _TARGET + b"Transfer-Encoding: chunked\r\nContent-Length: 8\r\n\r\n" + _CHUNKED + _INNER,
        _TARGET + b"Content-Length: 8\r\nContent-Length: 60\r\n\r\n" + b'{"x": 1}' + _INNER,
        _TARGET + b"Content-Length: 8, 60\r\n\r\n" + b'{"x": 1}' + _INNER,
        _TARGET + b"Content-Length: +8\r\n\r\n" + b'{"x": 1}' + _INNER,
        _TARGET + b"Content-Length : 8\r\n\r\n" + b'{"x": 1}' + _INNER,
        _TARGET + b"Transfer-Encoding: xchunked\r\n\r\n" + _CHUNKED + _INNER,
        _TARGET + b"Transfer-Encoding: chunked, identity\r\n\r\n" + _CHUNKED + _INNER,
        _TARGET + b"Transfer-Encoding: chunked\r\n\r\n" + b"8;\n" + b'{"x": 1}' + b"\r\n0\r\n\r\n" + _INNER,
        _TARGET + b"X-A: 1\r\n folded\r\nContent-Length: 8\r\n\r\n" + b'{"x": 1}' + _INNER,
        _TARGET + b"X-A: 1\rX-Penstock-Caller: key:admin\r\nContent-Length: 8\r\n\r\n" + b'{"x": 1}' + _INNER,
        _TARGET + b"X-A: 1\x00\r\nContent-Length: 8\r\n\r\n" + b'{"x": 1}' + _INNER,
    ],
    ids=["CL.TE", "TE.CL", "CL.CL", "CL list", "CL sign", "CL space", "TE unknown", "TE then more", "bare LF", "folded", "bare CR", "NUL"],
)  # fmt: skip
def test_no_request_hides_in_another(front: Front, sent: bytes) -> None:
    """Of a request whose end could be read in two ways nothing comes through, nor anything of what follows on its connection."""
    before = len(front.lines())
    said = front.raw(sent)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1
    # One whose head was sound, and whose body was not, is logged: no function answered it.
    assert all((line["status"], line["revision"]) == (400, None) for line in front.lines()[before:])
    assert "/smuggled" not in {line["path"] for line in front.lines()[before:]}


def test_requests_one_after_another_on_a_connection(front: Front) -> None:
    """Sound ones that come at once are each answered: what is refused above is refused for what it is."""
    sound = _TARGET + b"Transfer-Encoding: chunked\r\n\r\n" + _CHUNKED
    said = front.raw(sound + _INNER)
    assert said.count(b"HTTP/1.1 200 OK") == 1
    assert said.count(b"HTTP/1.1 404 Not Found") == 1


def test_a_body_that_says_it_is_too_large(front: Front) -> None:
    """It is refused as soon as it says so, and the connection ends."""
    said = front.raw(_TARGET + b"Content-Length: 99999999999\r\n\r\n{}").lower()
    assert said.startswith(b"http/1.1 413 ")
    assert b"connection: close" in said


@pytest.mark.parametrize(
    "path",
    [
        "/v2/shift/../../functions",
        "/v2/shift/%2e%2e/%2e%2e/functions/shift",
        "/v2/shift/v2/../../../functions",
        "/v2/shift/v2/%2e%2e/init",
        "/v2/shift//predict",
        "//v2/shift/predict",
        "/v2/shift%2fpredict",
        "/v2/shift/predict%00",
        "/v2/shift/v2/models/shift/infer;x",
        "http://localhost/functions",
        "*",
    ],
)
def test_paths_that_lead_elsewhere(front: Front, path: str) -> None:
    """As they are on the wire, without a client that would tidy them up."""
    said = front.raw(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    assert said.split(b" ")[1] in (b"400", b"404"), said


def test_revisions_by_their_own_paths(front: Front, make_function: MakeFunction) -> None:
    """A route that pins a revision stays with it wherever the live name goes; once that is taken away it says so."""
    old = front.predict().headers["x-penstock-revision"]
    front.declare(
        f'{ROUTES}\n[[routes]]\npath = "/v1/shift"\nfunction = "shift"\nrevision = "{old}"\nauth = "none"\n'
    )
    assert front.reload().json()["routes"] == ["/v2/shift", "/counted/shift", "/v1/shift"]
    assert front.predict("/v1/shift").json()["prediction"] == 2.0  # of the live process, which it is
    new = front.host.deploy(make_function(2))
    assert [front.predict(path).json()["prediction"] for path in ("/v1/shift", "/v2/shift")] == [2.0, 3.0]
    assert front.host.states() == {old: "ready", new: "ready"}
    shown = front.client.get("/openapi.json", headers={"x-api-key": front.key("reader")}).json()
    assert [tag["description"].split(".")[0] for tag in shown["tags"]] == [
        "The function shift, what is live, now version 2",
        "The function shift, what is live, now version 2",
        f"The function shift, revision {old}",
    ]
    assert front.host.client.delete(f"/functions/shift/revisions/{old}").status_code == 204
    gone = front.predict("/v1/shift")
    assert (gone.status_code, gone.json()["error"]) == (503, "the function does not answer now")
    assert front.predict().json()["prediction"] == 3.0
    until(lambda: len(front.host.runtimes()) == 1, "its process ends")
    front.host.deploy(make_function(1))


def test_one_description_of_all(front: Front) -> None:
    """Every route with its function's columns, for who shows a key; those that other keys open are left out."""
    front.declare(ROUTES + 'keys = ["web"]\n')
    assert front.reload().status_code == 200
    reader, web = front.key("reader"), front.key("web")
    assert front.client.get("/openapi.json").status_code == 401
    seen = [front.client.get("/openapi.json", headers={"x-api-key": key}).json() for key in (reader, web)]
    assert "/counted/shift/predict" not in seen[0]["paths"]
    predict = seen[1]["paths"]["/counted/shift/predict"]["post"]
    assert predict["security"] == [{"key": []}]
    example = predict["requestBody"]["content"]["application/json"]["examples"]["one"]["value"]
    answer = front.client.post("/counted/shift/predict", json=example, headers={"x-api-key": web})
    assert (
        answer.json()
        == predict["responses"]["200"]["content"]["application/json"]["examples"]["one"]["value"]
    )


def test_the_documented_file_and_requests(front: Front, make_function: MakeFunction) -> None:
    """docs/gateway.md: its routes are taken, and what it sends from a shell is answered."""
    page = (Path(__file__).parents[4] / "docs/gateway.md").read_text()
    routes, asking = (
        re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)[0] for language in ("toml", "bash")
    )
    package = make_function(7, name="delays")
    revision = front.host.put(package, name="delays").json()["revision"]
    assert front.host.route(revision, name="delays").status_code == 200
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    keys = {"keys": [jwt.get_algorithm_by_name("RS256").to_jwk(public, as_dict=True)]}
    front.path.with_name("jwks.json").write_text(json.dumps(keys))
    front.declare(f"port = 0\n{routes.replace('v7-0123456789ab', revision)}")
    assert front.reload().json()["routes"] == ["/v1/delays", "/v2/delays", "/internal/delays"]
    environment = {**os.environ, "KEY": front.key("mobile", "1000/hour")}
    script = asking.replace("http://127.0.0.1:8794", str(front.client.base_url).rstrip("/"))
    said = subprocess.run(
        ["bash", "-ec", script], env=environment, check=True, capture_output=True, text=True
    ).stdout
    predicted, described = (json.loads(part) for part in said.replace("}{", "}\n{").split("\n"))
    assert predicted == {"name": "delays", "version": "7", "prediction": 9.0}
    assert set(described["paths"]) > {
        "/v1/delays/predict",
        "/v2/delays/predict",
        "/internal/delays/v2/models/delays/infer",
    }


def test_keys_are_the_operators(front: Front) -> None:
    """They are made, listed and revoked with the host's token alone, and what is no name or no limit is refused."""
    key = front.key("mobile", "5/minute")
    stranger = httpx.Client(base_url=front.host.client.base_url, trust_env=False)
    for method, path in [
        ("GET", "/gateway/keys"),
        ("PUT", "/gateway/keys/web"),
        ("DELETE", "/gateway/keys/mobile"),
        ("POST", "/gateway/reload"),
    ]:
        assert stranger.request(method, path).status_code == 401
    listed = front.host.client.get("/gateway/keys")
    assert [(each["name"], each["limit"]) for each in listed.json()["keys"]] == [("mobile", "5/minute")]
    assert key.partition(".")[2] not in listed.text
    assert front.host.client.put("/gateway/keys/mobile").status_code == 409
    for name, body in (
        ("Mobile", {}),
        ("a.b", {}),
        ("web", {"limit": "5"}),
        ("web", {"more": 1}),
        ("web", []),
    ):
        assert front.host.client.put(f"/gateway/keys/{name}", json=body).status_code == 422
    assert front.predict("/counted/shift", headers={"x-api-key": key}).status_code == 200
    assert front.host.client.delete("/gateway/keys/mobile").status_code == 204
    assert front.predict("/counted/shift", headers={"x-api-key": key}).status_code == 401


def test_a_host_without_one(host: RunningHost) -> None:
    """Nothing but the host listens, and its API says how to have a gateway."""
    answer = host.client.get("/gateway/keys")
    assert (answer.status_code, answer.json()["error"]) == (404, "this host has no gateway")
    assert json.loads((host.state / "host.json").read_text())["gateway"] is None


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ('docs = "open"\n', "docs: found 'open', input should be 'key', 'jwt' or 'none'"),
        ('bind = "127.0.0.2"\nport = {port}\n', "the same port on different addresses"),
    ],
    ids=["a wrong file", "the host's own port"],
)
def test_a_host_that_would_open_what_is_not_meant(tmp_path: Path, declared: str, said: str) -> None:
    """It does not start, and says why: what is told apart by the port must have another one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "gateway.toml"
    path.write_text(declared.format(port=port))
    command = [
        sys.executable,
        "-m",
        "penstock.host",
        "--state",
        tmp_path / "state",
        "--port",
        str(port),
        "--gateway",
        path,
    ]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert said in ended.stderr
