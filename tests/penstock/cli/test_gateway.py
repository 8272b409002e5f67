"""`penstock gateway`, on a real host."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from penstock.settings import Settings
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.cli.conftest import Penstock

ROUTE = 'port = 0\n[[routes]]\npath = "/v1/shift"\nfunction = "shift"\nauth = "key"\n'


@pytest.fixture
def declared(project: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the gateway that the project's host has, as the environment says."""
    path = tmp_path / "gateway.toml"
    path.write_text(ROUTE)
    monkeypatch.setenv("PENSTOCK_GATEWAY", str(path))
    EmbeddedTarget(project.host_state).prepare()
    return path


def test_keys_and_the_file(penstock: Penstock, project: Settings, declared: Path) -> None:
    """A key is shown once, listed without itself, opens until it is revoked; the file is read again on request."""
    assert "no keys" in penstock("gateway", "key", "list").stdout
    made = penstock("gateway", "key", "create", "mobile", "--limit", "5/minute", "--json").answer
    assert made["key"].startswith("mobile.")
    listed = penstock("gateway", "key", "list", "--json")
    assert [(key["name"], key["limit"]) for key in listed.answer["keys"]] == [("mobile", "5/minute")]
    assert made["key"].partition(".")[2] not in listed.stdout
    assert "mobile, 5/minute, since 20" in penstock("gateway", "key", "list").stdout

    url = json.loads((project.host_state / "host.json").read_text())["gateway"]

    def status() -> int:
        return httpx.post(
            f"{url}/v1/shift/predict", headers={"x-api-key": made["key"]}, trust_env=False
        ).status_code

    assert status() == 503  # there is no function yet
    assert penstock("gateway", "key", "revoke", "mobile").stdout == "mobile opens nothing any more\n"
    assert status() == 401
    shown = penstock("gateway", "key", "create", "mobile").stdout.splitlines()
    assert "shown once" in shown[0]
    assert shown[1].startswith("mobile.")

    declared.write_text(ROUTE.replace("/v1/", "/v2/"))
    assert penstock("gateway", "reload").stdout == "/v2/shift\n"
    declared.write_text(ROUTE.replace('"key"', '"oauth"'))
    ran = penstock("gateway", "reload")
    assert ran.code == 9
    assert "routes[0].auth: found 'oauth'" in " ".join(ran.stderr.split())
    for arguments in (
        ("create", "mobile"),
        ("create", "a/b"),
        ("create", "web", "--limit", "5"),
        ("revoke", "web"),
    ):
        assert penstock("gateway", "key", *arguments).code == 9


def test_no_host(penstock: Penstock) -> None:
    """It is not started for that: whoever starts it says what is open."""
    ran = penstock("gateway", "key", "list")
    assert ran.code == 9
    assert "start the host with `penstock up`" in ran.stderr
