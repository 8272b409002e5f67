"""OpenWhisk as a target: its limits, its refusals and its moods, against a stand-in that answers as a real server was seen to."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from starlette.responses import JSONResponse

from penstock.errors import DeployError
from penstock.promotion import Promotion
from penstock.spec.function import Function
from penstock.targets import TargetError, open_target
from penstock.targets.openwhisk import actions, client
from penstock.targets.openwhisk.client import OpenWhisk
from penstock.targets.openwhisk.target import OpenWhiskTarget
from tests.openwhisk import AUTH, Server, garbage, openwhisk, refusal
from tests.penstock.conftest import MakeFunction
from tests.penstock.shop import Shop

IMAGE = "registry.example/function:1"
FUNCTION = Function(target="openwhisk")


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with nothing on it."""
    with openwhisk() as started:
        yield started


@pytest.fixture
def target(server: Server) -> OpenWhiskTarget:
    """Its package `penstock`, which is there."""
    made = OpenWhiskTarget(OpenWhisk(server.url, AUTH), IMAGE, "penstock", FUNCTION)
    made.prepare()
    return made


def action_of(server: Server, name: str) -> str:
    """The path of the one action whose name begins so, before a digest of its content."""
    [found] = [path for path in server.actions if path.rpartition(".")[0] == f"penstock/{name}"]
    return found


def test_a_revision_is_an_action_and_the_live_name_a_sequence(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """The action holds the signed files as a zip, runs the image, gets no key of the namespace; the sequence is of it alone."""
    package = make_function(1)
    revision = target.put(package)
    target.route("shift", revision)
    path = action_of(server, f"shift-{revision}")
    action, live = server.actions[path], server.actions["penstock/shift"]
    executed = dict(action["exec"])
    with zipfile.ZipFile(BytesIO(base64.b64decode(executed.pop("code")))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.name: path.read_bytes() for path in package.iterdir()
        }
    assert executed == {"kind": "blackbox", "image": IMAGE, "binary": True, "main": "main"}
    assert {"key": "provide-api-key", "value": False} in action["annotations"]
    assert live["exec"] == {"kind": "sequence", "components": [f"/_/{path}"]}


def test_what_a_function_printed_is_read_back(target: OpenWhiskTarget, make_function: MakeFunction) -> None:
    """Of the live revision's last activations, the newest last, and no more lines than were asked for."""
    target.route("shift", target.put(make_function(1)))
    with pytest.raises(TargetError):
        target.invoke("shift", {"x": "far"})
    target.serving("shift")  # waits for an activation's record
    printed = target.logs("shift")
    assert any('"event":"initialised"' in line for line in printed)
    assert any('"event":"refused"' in line for line in printed)
    assert target.logs("shift", 1) == printed[-1:]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"allowedKinds": ["python:3.11"]}, "python:3.11, and a function is blackbox"),
        ({"maxActionMemory": 128}, "at most 128 MB, and a function takes 256"),
    ],
)
def test_what_the_server_does_not_grant_is_told_before_anything_is_sent(
    server: Server,
    target: OpenWhiskTarget,
    make_function: MakeFunction,
    limits: dict[str, object],
    message: str,
) -> None:
    """By the limits that it tells itself."""
    server.limits.update(limits)
    server.seen.clear()
    with pytest.raises(TargetError, match=message):
        target.put(make_function(1))
    assert {method for method, _ in server.seen} == {"GET"}


def test_a_package_that_is_too_large_is_not_sent(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenWhisk's bound on code holds for the zip in base64."""
    monkeypatch.setattr(actions, "_MAX_CODE", 500)
    with pytest.raises(TargetError, match="over its 500") as caught:
        target.put(make_function(1))
    assert caught.value.status == 413
    assert not server.actions


def test_a_column_that_would_not_come_through_is_refused(
    target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """OpenWhisk puts its own values in the place of some parameters."""
    package = make_function(1)
    manifest = json.loads((package / "function.json").read_text())
    manifest["inputs"][0]["name"] = "__ow_path"
    (package / "function.json").write_text(json.dumps(manifest))
    with pytest.raises(TargetError, match="__ow_path would not reach the model"):
        target.put(package)


def test_a_payload_that_is_too_large_is_not_sent(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """The bound is the server's own."""
    target.route("shift", target.put(make_function(1)))
    server.limits["maxParameterSize"] = "100 B"
    server.seen.clear()
    with pytest.raises(TargetError, match="OpenWhisk takes less than 100") as caught:
        target.invoke("shift", [{"x": 1.0}] * 20)
    assert caught.value.status == 413
    assert server.seen == [("GET", "/limits")]


@pytest.mark.parametrize(
    ("said", "size"),
    [("1048576 B", 2**20), ("5 MB", 5 * 2**20), ("64KB", 2**16), ("100", 100), (None, 2**20)],
)
def test_sizes_as_the_server_writes_them(said: str | None, size: int) -> None:
    """With or without a unit; OpenWhisk's own bound where it says none."""
    assert client.Limits(maxParameterSize=said).parameter_bytes == size


def test_what_collides_or_comes_too_often_is_tried_again(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """409 of another writer, and 429 of the minute's rate, which refuse and change nothing."""
    server.faults += [
        ("PUT", refusal(409, "Concurrent modification to resource detected.")) for _ in range(2)
    ]
    server.faults += [("POST", refusal(429, "Too many requests in the last minute.")) for _ in range(2)]
    revision = target.put(make_function(1))
    target.route("shift", revision)
    assert target.serving("shift") == revision
    assert not server.faults


def test_patience_ends(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it goes on, the server's own words are told."""
    monkeypatch.setattr(client, "_PATIENCE", 0.2)
    server.faults += [
        ("PUT", refusal(409, "Concurrent modification to resource detected.")) for _ in range(20)
    ]
    with pytest.raises(TargetError, match="Concurrent modification") as caught:
        target.put(make_function(1))
    assert caught.value.status == 409
    assert not server.actions


def test_a_slow_answer_is_waited_for(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """A blocking call that gets the activation's id alone, whose record is not there yet."""
    server.patience = 0.0
    target.route("shift", target.put(make_function(1)))
    assert target.invoke("shift", {"x": 2.0})["prediction"] == 3.0
    with pytest.raises(TargetError, match=r"application error.*expected"):
        target.invoke("shift", {"x": "far"})


def test_what_is_no_answer_of_openwhisk_is_told(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """A proxy's 502 is no application's error, and a page is no record."""
    target.route("shift", target.put(make_function(1)))
    for fault, message in (
        (garbage(), "502: upstream connect error"),
        (JSONResponse({"hello": "world"}), "expected the record of an activation"),
        (JSONResponse("hello"), "expected a JSON object"),
    ):
        server.faults.append(("POST", fault))
        with pytest.raises(TargetError, match=message):
            target.invoke("shift", {"x": 2.0})
    assert target.invoke("shift", {"x": 2.0})["prediction"] == 3.0


def test_a_wrong_key_and_a_server_that_is_away(server: Server) -> None:
    """What to set is named; the key is not shown."""
    with pytest.raises(TargetError, match="401") as caught:
        OpenWhiskTarget(OpenWhisk(server.url, "somebody:else"), IMAGE, "penstock", FUNCTION).prepare()
    assert "PENSTOCK_OPENWHISK_AUTH" in str(caught.value)
    assert "else" not in str(caught.value)
    with pytest.raises(TargetError, match="cannot be reached"):
        OpenWhiskTarget(OpenWhisk("http://127.0.0.1:9", AUTH), IMAGE, "penstock", FUNCTION).prepare()


def test_a_deploy_that_was_killed_is_finished_by_the_next(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """The action was made, and the proof never came."""
    server.faults.append(("POST", garbage()))
    package = make_function(1)
    with pytest.raises(TargetError):
        target.put(package)
    assert len(server.actions) == 1
    revision = target.put(package)
    target.route("shift", revision)
    assert len(target.status("shift").revisions) == 1
    assert target.serving("shift") == revision


def test_a_revision_that_was_deleted_by_hand_comes_back(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """The live name says that its component is gone; deploying again mends it."""
    package = make_function(1)
    revision = target.put(package)
    target.route("shift", revision)
    del server.actions[action_of(server, f"shift-{revision}")]
    with pytest.raises(TargetError, match="component does not exist"):
        target.invoke("shift", {"x": 1.0})
    target.route("shift", target.put(package))
    assert target.invoke("shift", {"x": 1.0})["prediction"] == 2.0


def test_two_deploys_at_once_end_in_one_live_revision(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """Whoever comes last; both revisions are whole."""
    packages = [make_function(1), make_function(2)]

    def deploy(package: Path) -> str:
        own = OpenWhiskTarget(OpenWhisk(server.url, AUTH), IMAGE, "penstock", FUNCTION)
        revision = own.put(package)
        own.route("shift", revision)
        return revision

    with ThreadPoolExecutor(2) as pool:
        revisions = set(pool.map(deploy, packages))
    status = target.status("shift")
    assert {each.revision for each in status.revisions} == revisions
    assert target.serving("shift") == status.live


def test_promoted_and_rolled_back(server: Server, target: OpenWhiskTarget, shop: Shop) -> None:
    """By the same promotion as on the embedded host: the aliases and the live name move together, and back."""
    promotion = Promotion(shop.settings, "shift", "shift", target, shop.registry)
    for version, before in ((shop.register(), None), (shop.register(), "1")):
        live = promotion.promote(version, shop.package(version), judged_against=before)
        assert live.url == f"{server.url}/api/v1/namespaces/_/actions/penstock/shift"
    assert target.invoke("shift", {"x": 0.0})["prediction"] == 2.0
    promotion.roll_back("1")
    assert target.invoke("shift", {"x": 0.0})["prediction"] == 1.0
    champion = shop.registry.champion("shift")
    assert champion is not None
    assert champion.version == "1"


def test_what_goes_wrong_on_the_way_is_put_back(server: Server, target: OpenWhiskTarget, shop: Shop) -> None:
    """The live name does not answer once it was moved: the old version serves, and is the champion."""
    promotion = Promotion(shop.settings, "shift", "shift", target, shop.registry)
    promotion.promote(shop.register(), shop.package("1"), judged_against=None)
    version = shop.register()
    server.faults.append(("POST /actions/penstock/shift", garbage()))
    with pytest.raises(DeployError, match=r"version 2 of shift could not go live: .*upstream connect error"):
        promotion.promote(version, shop.package(version), judged_against="1")
    assert target.invoke("shift", {"x": 0.0})["prediction"] == 1.0
    champion = shop.registry.champion("shift")
    assert champion is not None
    assert champion.version == "1"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("", "PENSTOCK_OPENWHISK_IMAGE is not set"),
        ("localhost:5000/function", "with a tag"),
        ("f:latest", "with a tag"),
    ],
)
def test_what_must_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str, message: str) -> None:
    """An image without a tag of its own is pulled for each container, and may be another one each time."""
    monkeypatch.setenv("PENSTOCK_OPENWHISK_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PENSTOCK_OPENWHISK_AUTH", AUTH)
    monkeypatch.setenv("PENSTOCK_OPENWHISK_IMAGE", image)
    with pytest.raises(TargetError, match=message):
        open_target(FUNCTION, tmp_path)
