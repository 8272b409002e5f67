"""A function as a web action of OpenWhisk, on the function host: opt-in, by a secret of its own that nobody else is told."""

from __future__ import annotations

import logging
import os
import subprocess
from typing import Any

import httpx
import pytest

from tests.penstock.targets.conftest import Hosted, Open, Packages


def secret_of(hosted: Hosted) -> Any:
    """What the host keeps; None where it keeps none."""
    annotations = hosted.request("GET", "/actions/penstock/shift?code=false").json()["annotations"]
    return next((each["value"] for each in annotations if each["key"] == "require-whisk-auth"), None)


def ask(url: str, record: Any, secret: str | None = None) -> httpx.Response:
    """As anybody on the web does."""
    headers = {} if secret is None else {"x-require-whisk-auth": secret}
    return httpx.post(url, json=record, headers=headers, trust_env=False)


def test_who_has_the_secret_asks_it(hosted: Hosted, on_host: Open, packages: Packages) -> None:
    """Through all of its steps; others get a 401, and a refusal is told in the runtime's words."""
    target = on_host(web=True)
    target.route("shift", target.put(packages["first"]))
    status = target.status("shift")
    assert status.web == f"{hosted.url}/api/v1/web/guest/penstock/shift.json"
    assert status.differs == ()
    answer = ask(status.web, {"raw": "2"}, secret_of(hosted))
    assert answer.json() == {"name": "shift", "version": "1", "prediction": 3.0, "band": "low of 2"}
    query = httpx.get(
        f"{status.web}?raw=6", headers={"x-require-whisk-auth": secret_of(hosted)}, trust_env=False
    )
    assert query.json()["band"] == "high of 6"
    for secret in (None, "", "true", "x"):
        assert ask(status.web, {"raw": "2"}, secret).status_code == 401
    refused = ask(status.web, {"raw": "far"}, secret_of(hosted)).json()
    assert "the step raw refuses" in refused["message"]


def test_without_a_word_it_is_none(hosted: Hosted, on_host: Open, packages: Packages) -> None:
    """Nor are its components, whatever their function is."""
    target = on_host()
    target.route("shift", target.put(packages["first"]))
    assert target.status("shift").web is None
    for action in hosted.listed("actions"):
        url = f"{hosted.url}/api/v1/web/guest/penstock/{action}.json"
        assert ask(url, {"raw": "2"}).status_code == 404


def test_the_secret_stays_until_it_is_closed(hosted: Hosted, on_host: Open, packages: Packages) -> None:
    """Callers keep theirs from version to version; opened again it has another."""
    target = on_host(web=True)
    target.route("shift", target.put(packages["first"]))
    first = secret_of(hosted)
    assert len(first) >= 32
    target.route("shift", target.put(packages["second"]))
    assert secret_of(hosted) == first
    closed = on_host()
    [differs] = closed.status("shift").differs
    assert "function.web" in differs
    closed.route("shift", closed.put(packages["second"]))
    assert secret_of(hosted) is None
    assert closed.status("shift").differs == ()
    [differs] = target.status("shift").differs
    assert "function.web" in differs
    target.route("shift", target.put(packages["second"]))
    assert secret_of(hosted) not in (None, first)


def test_an_open_door_gets_its_secret_back(hosted: Hosted, on_host: Open, packages: Packages) -> None:
    """Somebody took it away by hand: that is told, and mended."""
    target = on_host(web=True)
    revision = target.put(packages["first"])
    target.route("shift", revision)
    hosted.change("/actions/penstock/shift", delAnnotations=["require-whisk-auth"])
    assert len(target.status("shift").differs) == 1
    target.route("shift", revision)
    assert len(secret_of(hosted)) >= 32


def test_the_secret_is_told_to_nobody(
    hosted: Hosted, on_host: Open, packages: Packages, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by status, not by any log: neither ours nor the function's, which gets the request's headers."""
    caplog.set_level(logging.DEBUG)
    target = on_host(web=True)
    target.route("shift", target.put(packages["first"]))
    url = target.status("shift").web
    assert url is not None
    ask(url, {"raw": "far"}, secret_of(hosted))
    target.serving("shift")  # waits for the records
    told = [target.status("shift").model_dump_json(), *target.logs("shift")]
    told += [record.getMessage() for record in caplog.records]
    assert "refused" in "".join(told)
    assert secret_of(hosted) not in "".join(told)


def test_the_documented_command_line_asks_it(hosted: Hosted, on_host: Open, packages: Packages) -> None:
    """The secret as the namespace's key reads it, then the request (docs/targets.md)."""
    target = on_host(web=True)
    target.route("shift", target.put(packages["first"]))
    url = target.status("shift")
    command = f"""
    SECRET=$(curl -s -u "$PENSTOCK_OPENWHISK_AUTH" '{url.url}?code=false' \\
      | python3 -c 'import json, sys; print(*(a["value"] for a in json.load(sys.stdin)["annotations"] if a["key"] == "require-whisk-auth"))')
    curl -s -H "X-Require-Whisk-Auth: $SECRET" -H 'Content-Type: application/json' '{url.web}' -d '{{"raw": "2"}}'
    """
    ran = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PENSTOCK_OPENWHISK_AUTH": hosted.auth},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert '"band":"low of 2"' in ran.stdout.replace(": ", ":")
