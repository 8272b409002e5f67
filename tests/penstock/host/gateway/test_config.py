"""`gateway.toml`: what is wrong with it is said by field, all at once, and nothing is open by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.errors import PenstockError
from penstock.host.gateway import config
from penstock.host.gateway.config import Config
from penstock.host.gateway.rates import Rate

ROUTE = '[[routes]]\npath = "/v1/delays"\nfunction = "delays"\n'


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return config.read(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(PenstockError) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "gateway.toml") in caught.value.message
    return caught.value.message


def test_an_empty_file_opens_nothing(tmp_path: Path) -> None:
    """No routes, on loopback, for names of loopback, and the description needs a key."""
    found = read(tmp_path, "")
    assert (found.bind, found.port, found.routes, found.docs) == ("127.0.0.1", 8794, (), "key")
    assert "127.0.0.1" in found.names
    assert "*" not in found.names


def test_a_route(tmp_path: Path) -> None:
    """It opens predictions of the live name alone unless it says more."""
    (route,) = read(tmp_path, f'{ROUTE}auth = "key"\nlimit = "60/minute"\n').routes
    assert (route.calls, route.revision, route.origins) == (("POST /predict",), None, ())
    assert route.limit == Rate(60, 60)


def test_which_names_are_answered(tmp_path: Path) -> None:
    """On another address any, unless they are named; behind a server on the same machine those that it passes on."""
    assert read(tmp_path, 'bind = "0.0.0.0"').names == ("*",)
    assert read(tmp_path, 'hosts = ["api.example", "*.b.example"]').names == ("api.example", "*.b.example")
    for wrong in ("", "a*b", "*a", "api.example:443", "http://api.example"):
        assert "hosts[0]" in refused(tmp_path, f'hosts = ["{wrong}"]')


def test_auth_is_spelled_out(tmp_path: Path) -> None:
    """A route that leaves it out is not open to all, but refused."""
    assert "routes[0].auth: field required" in refused(tmp_path, ROUTE)


def test_every_fault_is_named(tmp_path: Path) -> None:
    """In one message, each with its place, what was found and what is expected."""
    text = f'bind = "localhost"\nlimit = "60"\ntypo = 1\n{ROUTE}auth = "oauth"\ncalls = ["GET /metrics"]\norigins = ["https://a.example/"]\n'
    said = refused(tmp_path, text)
    for part in (
        "bind: found 'localhost', expected an IP address",
        "limit: found '60', expected a number and a time",
        "typo: extra inputs are not permitted",
        "routes[0].auth: found 'oauth', input should be 'key', 'jwt' or 'none'",
        "routes[0].calls[0]: found 'GET /metrics', input should be 'POST /predict'",
        "routes[0].origins[0]: found 'https://a.example/', expected an origin without a path",
    ):
        assert part in said


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "v1",
        "/v1/",
        "//v1",
        "/v1//a",
        "/.",
        "/..",
        "/v1/../a",
        "/.hidden",
        "/a%2fb",
        "/a b",
        "/a?b",
        "/é",
        "/a\\\\b",
        "/a\\n",
    ],
)
def test_paths_that_are_none(tmp_path: Path, path: str) -> None:
    """Nothing that a server could take for another path, or would have to decode."""
    assert "routes[0].path" in refused(
        tmp_path, f'[[routes]]\npath = "{path}"\nfunction = "delays"\nauth = "key"\n'
    )


@pytest.mark.parametrize("path", ["/docs", "/docs/a", "/openapi.json", "/health"])
def test_the_gateways_own_pages(tmp_path: Path, path: str) -> None:
    """No route takes their place."""
    said = refused(tmp_path, f'[[routes]]\npath = "{path}"\nfunction = "delays"\nauth = "key"\n')
    assert "are the gateway's own" in said


@pytest.mark.parametrize(("one", "other"), [("/a", "/a"), ("/a", "/a/b"), ("/a/b/c", "/a/b")])
def test_a_path_is_one_routes(tmp_path: Path, one: str, other: str) -> None:
    """Neither twice nor below another: which route answers never depends on their order."""
    routes = "".join(
        f'[[routes]]\npath = "{path}"\nfunction = "delays"\nauth = "key"\n' for path in (one, other)
    )
    assert "overlap" in refused(tmp_path, routes)


def test_paths_that_only_begin_alike(tmp_path: Path) -> None:
    """They are two."""
    routes = "".join(
        f'[[routes]]\npath = "{path}"\nfunction = "delays"\nauth = "key"\n'
        for path in ("/a/b", "/a/bc", "/a/b.c")
    )
    assert len(read(tmp_path, routes).routes) == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('auth = "jwt"\n', "expected a table [jwt]"),
        ('auth = "none"\nkeys = ["mobile"]\n', 'keys are named, and auth is "none"'),
        ('auth = "key"\nkeys = []\n', "routes[0].keys"),
        ('auth = "key"\ncalls = []\n', "routes[0].calls"),
        ('auth = "key"\ncalls = ["GET /v2", "GET /v2"]\n', "names GET /v2 twice"),
        ('auth = "key"\nrevision = "live"\n', "expected a revision"),
        ('auth = "key"\nlimit = "0/second"\n', "routes[0].limit"),
    ],
)
def test_routes_that_cannot_be_meant(tmp_path: Path, more: str, said: str) -> None:
    """Each says what is amiss."""
    assert said in refused(tmp_path, ROUTE + more)


@pytest.mark.parametrize(
    ("algorithms", "said"),
    [
        ('["none"]', "jwt.algorithms[0]: found 'none'"),
        ("[]", "jwt.algorithms"),
        ('["RS256", "HS256"]', "do not stand together"),
        ('["RS256", "RS256"]', "names RS256 twice"),
    ],
)
def test_algorithms_that_are_not_safe(tmp_path: Path, algorithms: str, said: str) -> None:
    """`none` is not one, and a public key is never taken for a shared secret."""
    jwt = f'[jwt]\nissuer = "a"\naudience = "b"\nkeys = "jwks.json"\nalgorithms = {algorithms}\n'
    assert said in refused(tmp_path, jwt)


def test_no_toml(tmp_path: Path) -> None:
    """The line is named; a file that is not there, too."""
    assert "at line 2" in refused(tmp_path, "port = 1\nbind = \n")
    with pytest.raises(PenstockError, match="cannot be read: No such file"):
        config.read(tmp_path / "other.toml")
