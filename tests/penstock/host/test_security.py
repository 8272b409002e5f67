"""Who may change the host, what it gives away, and which names reach the disk."""

from __future__ import annotations

import socket
import stat

import httpx
import psutil
import pytest

from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until

REVISION = "v2-0123456789ab"


def test_changes_need_the_token(host: RunningHost, make_function: MakeFunction) -> None:
    """Without exactly the token every changing call is 401 and changes nothing; reading and invoking need none."""
    live = host.deploy(make_function(1))
    token = host.client.headers["Authorization"].partition(" ")[2]
    revision = f"/functions/shift/revisions/{REVISION}"
    calls = [("PUT", revision), ("PUT", "/functions/shift/traffic"), ("DELETE", revision)]
    calls += [("DELETE", "/functions/shift"), ("DELETE", "/functions/none")]
    wrong = [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {token}",
        token,
        f"Bearer {token}x",
        f"Bearer {token[:-1]}",
    ]
    with httpx.Client(base_url=host.client.base_url, trust_env=False) as stranger:
        for header in (*wrong, "Bearer é"):
            headers = {} if header is None else {"Authorization": header.encode()}
            for method, path in calls:
                answer = stranger.request(method, path, headers=headers, json={"revision": live})
                assert answer.status_code == 401, (header, method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert token not in answer.text
        assert stranger.get("/functions/shift").json()["live"] == live
        assert stranger.post("/functions/shift/predict", json={"x": 1.0}).status_code == 200


def test_the_token_is_only_for_its_owner(host: RunningHost) -> None:
    """The folder and the token are closed to others, and a restart keeps the token."""
    path = host.state / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((host.state / "functions").stat().st_mode) == 0o700
    token = path.read_text()
    assert len(token) >= 40
    host.kill()
    host.start()
    assert path.read_text() == token


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e",
        "..%2f..%2ftoken",
        "%2ftmp%2fevil",
        ".hidden",
        "-x",
        "a%00b",
        "a%0ab",
        "a b",
        "é",
        "a.b",
        "x" * 64,
    ],
)
def test_names_that_lead_elsewhere(host: RunningHost, name: str) -> None:
    """No name of a function or revision with a path, a control character or undue length gets to the disk."""
    before = set(host.state.parent.rglob("*"))
    url = host.client.base_url
    for method, path in [
        ("PUT", f"/functions/{name}/revisions/{REVISION}"),
        ("PUT", f"/functions/shift/revisions/{name}"),
        ("DELETE", f"/functions/{name}"),
        ("GET", f"/functions/{name}/logs"),
        ("POST", f"/functions/{name}/predict"),
    ]:
        # By hand: a client would tidy such a path up.
        with socket.create_connection((url.host, url.port or 0)) as connection:
            token = host.client.headers["Authorization"]
            raw = path.replace(" ", "%20")
            connection.sendall(
                f"{method} {raw} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n"
                "Content-Length: 2\r\nConnection: close\r\n\r\n{}".encode()
            )
            status = int(connection.recv(65536).split()[1])
        assert status in (400, 404, 405, 422), (method, path, status)
    assert set(host.state.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "localhost.evil:80"]
)
def test_a_name_bound_to_loopback_by_a_stranger(
    host: RunningHost, make_function: MakeFunction, name: str
) -> None:
    """A browser led here under another site's name (DNS rebinding) gets nothing, whatever it asks."""
    live = host.deploy(make_function(1))
    for method, path in [
        ("GET", "/functions"),
        ("GET", "/functions/shift/logs"),
        ("POST", "/functions/shift/predict"),
        ("DELETE", "/functions/shift"),
    ]:
        assert host.client.request(method, path, headers={"Host": name}).status_code == 400
    assert host.status()["live"] == live


def test_names_of_loopback(host: RunningHost) -> None:
    """The ordinary names of this machine's loopback are served."""
    for name in ("localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80"):
        assert host.client.get("/health", headers={"Host": name}).status_code == 200


def test_it_listens_on_loopback_only(host: RunningHost, make_function: MakeFunction) -> None:
    """Neither the host nor a function can be reached from another machine."""
    host.deploy(make_function(1))
    assert host.process is not None
    for process in (psutil.Process(host.process.pid), *host.runtimes()):
        listening = [it for it in process.net_connections() if it.status == psutil.CONN_LISTEN]
        assert {it.laddr.ip for it in listening} == {"127.0.0.1"}


def test_it_listens_elsewhere_when_told_to(host: RunningHost) -> None:
    """With --bind it serves other names as well; changes still need the token."""
    host.kill()
    host.start("--bind", "0.0.0.0")
    try:
        assert host.client.base_url.host == "127.0.0.1"
        assert host.client.get("/functions", headers={"Host": "functions.example"}).status_code == 200
        answer = httpx.delete(host.client.base_url.join("/functions/shift"), trust_env=False)
        assert answer.status_code == 401
    finally:
        host.kill()


def test_a_function_inherits_no_secret(host: RunningHost, make_function: MakeFunction) -> None:
    """Of the host's environment a function gets an allowed few variables, and none that may hold a credential."""
    host.kill()
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "hush",
        "PENSTOCK_TOKEN": "hush",
        "PYTHONPATH": "/nowhere",
        "LD_PRELOAD": "",
    }
    host.start(environment=secrets)
    try:
        host.deploy(make_function(1))
        (runtime,) = host.runtimes()
        environment = runtime.environ()
        assert "hush" not in environment.values()
        assert set(environment) <= {
            *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
            *("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PENSTOCK_JAVA"),
        }
        assert runtime.cwd() == "/"
        # Open files of the host, its lock among them, are not the function's.
        assert not [file for file in runtime.open_files() if file.path.startswith(str(host.state))]
    finally:
        host.kill()


def test_a_damaged_pointer_is_told(host: RunningHost, make_function: MakeFunction) -> None:
    """A live pointer damaged by hand does not keep the host from starting: its function says so until routed anew."""
    revision = host.deploy(make_function(1))
    host.kill()
    (host.state / "functions" / "shift" / "traffic.json").write_text('{"revision": ')
    host.start()
    answer = host.predict()
    assert answer.status_code == 500
    assert "traffic.json" in answer.json()["error"]
    assert host.route(revision).status_code == 200
    until(lambda: host.predict().status_code == 200, "it answers again")


def test_the_head_of_a_request_is_bounded(host: RunningHost) -> None:
    """Larger headers than any proxy lets through are a 400, and the connection ends."""
    url = host.client.base_url
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2**17 + b"\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
