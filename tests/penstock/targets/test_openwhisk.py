"""OpenWhisk as a target: its limits, its refusals and its moods, against a stand-in that answers as a real server was seen to."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from penstock.errors import DeployError
from penstock.promotion import Promotion
from penstock.spec.function import Function
from penstock.targets import Activity, Recording, TargetError, open_target
from penstock.targets.openwhisk import actions, client
from penstock.targets.openwhisk.client import OpenWhisk
from penstock.targets.openwhisk.target import OpenWhiskTarget
from tests.openwhisk import AUTH, Server, garbage, openwhisk, refusal
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import until
from tests.penstock.shop import Shop

IMAGE = "registry.example/function:1"
FUNCTION = Function(target="openwhisk")
NOTHING = Activity(requests=0, since="", failed=0, refused=0, p50_ms=0, p99_ms=0)


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
        ({"allowedKinds": ["python:3.11"]}, "python:3.11, and a function takes blackbox and sequence"),
        ({"allowedKinds": ["blackbox"]}, "blackbox, and a function takes sequence"),
        ({"storeActivations": False}, "stores no activations"),
        ({"maxActionMemory": 128}, "at most 128 MB of memory for an action, and a function takes 256"),
        ({"minActionMemory": 512}, "at least 512 MB of memory for an action, and a function takes 256"),
        ({"maxActionTimeout": 30_000}, "at most 30000 ms for an action, and a function takes 60000"),
        ({"invocationsPerMinute": 3}, "at most 3 invocations a minute, and a function takes 4"),
        ({"concurrentInvocations": 0}, "at most 0 invocations at once, and a function takes 1"),
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


def test_what_an_action_may_have_is_said(
    server: Server, make_function: MakeFunction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MB and seconds; another word is another action, which the live name moves to, and nonsense is told."""
    for name, value in {"URL": server.url, "AUTH": AUTH, "IMAGE": IMAGE}.items():
        monkeypatch.setenv(f"PENSTOCK_OPENWHISK_{name}", value)
    usual = open_target(FUNCTION, tmp_path)
    usual.prepare()
    package = make_function(1)
    usual.route("shift", usual.put(package))
    monkeypatch.setenv("PENSTOCK_OPENWHISK_MEMORY", "512")
    monkeypatch.setenv("PENSTOCK_OPENWHISK_SECONDS", "30")
    larger = open_target(FUNCTION, tmp_path)
    [differs] = larger.status("shift").differs
    assert "PENSTOCK_OPENWHISK_MEMORY and PENSTOCK_OPENWHISK_SECONDS say" in differs
    larger.route("shift", larger.put(package))
    assert larger.status("shift").differs == ()
    [component] = server.actions["penstock/shift"]["exec"]["components"]
    assert server.actions[component.removeprefix("/_/")]["limits"] == {"memory": 512, "timeout": 30_000}
    # The runtime gives up after a minute.
    for name, value, most in (("SECONDS", "61", 60), ("MEMORY", "0", 10**6), ("MEMORY", "x", 10**6)):
        with monkeypatch.context() as patch:
            patch.setenv(f"PENSTOCK_OPENWHISK_{name}", value)
            with pytest.raises(
                TargetError, match=f"{name} is '{value}': expected a whole number from 1 to {most}"
            ):
                open_target(FUNCTION, tmp_path)


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
    """The bound is the server's own, and the bytes are those that are sent: of characters, not of their escapes."""
    target.route("shift", target.put(make_function(1)))
    server.limits["maxParameterSize"] = "100 B"
    server.seen.clear()
    with pytest.raises(TargetError, match="has 100 bytes, and OpenWhisk takes less than 100") as caught:
        target.invoke("shift", {"x": 2.0, "y": "é" * 42})
    assert caught.value.status == 413
    assert server.seen == [("GET", "/limits")]
    with pytest.raises(TargetError, match="application error"):
        target.invoke("shift", {"x": 2.0, "y": "é" * 41})
    with pytest.raises(TargetError, match="is not JSON"):
        target.invoke("shift", {"x": "\ud800"})


@pytest.mark.parametrize(
    ("said", "size"),
    [("1048576 B", 2**20), ("5 MB", 5 * 2**20), ("64KB", 2**16), ("100", 100), (None, 2**20)],
)
def test_sizes_as_the_server_writes_them(said: str | None, size: int) -> None:
    """With or without a unit; OpenWhisk's own bound where it says none."""
    assert client.Limits(maxParameterSize=said).parameter_bytes == size


def test_the_servers_clock_is_gone_by() -> None:
    """Activations are by it: as it tells, but for what is the rest of a second."""
    api = OpenWhisk("http://127.0.0.1:9", AUTH)
    for seconds, expected in ((-600, -600), (600, 600), (1, 0), (0, 0)):
        then = datetime.now(UTC) + timedelta(seconds=seconds)
        api._look_at_the_clock(httpx.Response(200, headers={"date": format_datetime(then, usegmt=True)}))
        assert (api.now() - datetime.now(UTC)).total_seconds() == pytest.approx(expected, abs=2)
        assert expected or abs(api.now() - datetime.now(UTC)) < timedelta(seconds=0.5)
    api._look_at_the_clock(httpx.Response(200, headers={"date": "soon"}))


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


@pytest.mark.parametrize(
    "page",
    [Response("<html>sign in</html>", media_type="application/json"), JSONResponse([1]), JSONResponse({})],
)
def test_no_page_is_taken_for_what_the_server_holds(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction, page: Response
) -> None:
    """Answered with 200 by whatever stands before it, whatever was asked for: one error of ours, with what came."""
    target.route("shift", target.put(make_function(1)))
    api = OpenWhisk(server.url, AUTH)
    asks: list[tuple[str, Callable[[], object]]] = [
        ("GET /packages/penstock", lambda: api.actions("penstock")),
        ("GET /actions/penstock/shift", lambda: api.get("actions", "penstock/shift")),
        ("GET /triggers", api.triggers),
        ("GET /activations", lambda: api.activations("penstock/shift", 5)),
        ("POST", lambda: api.invoke("penstock/shift", {})),
    ]
    for where, ask in asks:
        if (page.body, where) in ((b"{}", "GET /packages/penstock"), (b"[1]", "POST")):
            continue  # a package without actions; a result
        server.faults.append((where, page))
        with pytest.raises(TargetError, match="expected"):
            ask()


def test_a_call_that_is_accepted_without_a_number_is_told(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """There is no record to wait for."""
    target.route("shift", target.put(make_function(1)))
    server.faults.append(("POST", JSONResponse({}, 202)))
    with pytest.raises(TargetError, match="expected an activationId"):
        target.invoke("shift", {"x": 1.0})


def test_a_404_of_another_is_not_the_servers_word(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """An ingress that has lost the server says so of everything: nothing is taken to be absent by that."""
    revision = target.put(make_function(1))
    target.route("shift", revision)
    for where in ("GET /packages/penstock", "GET /actions/penstock/shift"):
        server.faults.append((where, PlainTextResponse("default backend - 404", 404)))
        with pytest.raises(TargetError, match="OpenWhisk's own word") as caught:
            target.status("shift")
        assert caught.value.status is None
    assert target.status("shift").live == revision


def test_the_servers_own_error_is_an_activations_end(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """500 with a record, told by its status; what was put is taken away again, as it has not proved itself."""
    record = {
        "activationId": "0" * 32, "name": "shift", "start": 1, "logs": [],
        "response": {"status": "whisk internal error", "success": False, "result": {"error": "no invoker"}},
    }  # fmt: skip
    server.faults.append(("POST", JSONResponse(record, 500)))
    with pytest.raises(TargetError, match=r"did not prove itself.*whisk internal error.*no invoker"):
        target.put(make_function(1))
    assert not server.actions


def test_another_kind_of_that_name_is_told_at_once(
    server: Server, target: OpenWhiskTarget, make_function: MakeFunction
) -> None:
    """409, and no other writer's, which ends in a moment."""
    server.faults.append(("PUT", refusal(409, "Resource by this name exists but is not in this collection.")))
    with pytest.raises(TargetError, match="not in this collection"):
        target.put(make_function(1))
    assert [method for method, _ in server.seen].count("PUT") == 2  # the package, and this


def test_a_wrong_key_and_a_server_that_is_away(server: Server) -> None:
    """What to set is named; the key is not shown."""
    with pytest.raises(TargetError, match="401") as caught:
        OpenWhiskTarget(OpenWhisk(server.url, "somebody:else"), IMAGE, "penstock", FUNCTION).prepare()
    assert "PENSTOCK_OPENWHISK_AUTH" in str(caught.value)
    assert "else" not in str(caught.value)
    for url in ("http://127.0.0.1:9", "http://127.0.0.1:port"):
        with pytest.raises(TargetError, match="cannot be reached"):
            OpenWhiskTarget(OpenWhisk(url, AUTH), IMAGE, "penstock", FUNCTION).prepare()


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
    assert target.status("shift").serving is None
    target.route("shift", target.put(package))
    assert target.invoke("shift", {"x": 1.0})["prediction"] == 2.0


def test_what_was_deleted_by_hand_is_seen_and_deployed_by_itself(
    server: Server, target: OpenWhiskTarget, shop: Shop
) -> None:
    """What keeps functions up finds that a component of the live name is gone, and nothing else to do once it is back."""
    promotion = Promotion(shop.settings, "shift", "shift", target, shop.registry)
    promotion.promote(shop.register(), shop.package("1"), judged_against=None)
    assert promotion.keep_up() is None
    [component] = server.actions["penstock/shift"]["exec"]["components"]
    del server.actions[component.removeprefix("/_/")]
    live = promotion.keep_up()
    assert live is not None
    assert live.version == "1"
    assert target.invoke("shift", {"x": 0.0})["prediction"] == 1.0
    assert promotion.keep_up() is None


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


def test_old_revisions_go(server: Server, target: OpenWhiskTarget, make_function: MakeFunction) -> None:
    """The newest stay beside what serves, whichever that is; of others nothing is taken away."""
    live = target.put(make_function(1))
    target.route("shift", live)
    other = target.put(make_function(1, "other"))
    later = [target.put(make_function(number)) for number in range(2, 9)]
    assert [each.revision for each in target.status("shift").revisions] == [live, *later[-5:]]
    # One that is put again is not what goes, however old it is.
    target.route("shift", later[-1])
    assert target.put(make_function(1)) == live
    target.route("shift", live)
    assert [each.revision for each in target.status("other").revisions] == [other]
    assert target.serving("shift") == live


def test_a_first_version_that_does_not_answer_leaves_nothing(
    server: Server, target: OpenWhiskTarget, shop: Shop
) -> None:
    """Nothing served before: nothing does after, and there is no champion."""
    promotion = Promotion(shop.settings, "shift", "shift", target, shop.registry)
    version = shop.register()
    server.faults.append(("POST /actions/penstock/shift", garbage()))
    with pytest.raises(DeployError, match=r"could not go live: .*upstream connect error.*nothing serves"):
        promotion.promote(version, shop.package(version), judged_against=None)
    assert not server.actions
    assert shop.registry.champion("shift") is None


def test_what_was_asked_last(server: Server, target: OpenWhiskTarget, make_function: MakeFunction) -> None:
    """By the records of activations: how many, how many of them ended badly, and how long they took."""
    target.route("shift", target.put(make_function(1)))
    assert isinstance(target, Recording)
    assert target.activity("shift") is None
    began = datetime.now(UTC)
    for _ in range(3):
        target.invoke("shift", {"x": 1.0})
    with pytest.raises(TargetError):
        target.invoke("shift", {"x": "far"})
    until(lambda: (target.activity("shift") or NOTHING).requests == 4, "all are on record")
    for number, (duration, status) in enumerate([(5, "success"), (900, "action developer error")]):
        server.records[str(number)] = {
            "activationId": str(number), "name": "shift", "path": "guest/penstock/shift", "start": 0,
            "duration": duration, "response": {"status": status, "result": {}},
        }  # fmt: skip
    found = target.activity("shift")
    assert found is not None
    assert (found.requests, found.failed, found.refused) == (6, 1, 1)
    assert found.p99_ms == 900 > found.p50_ms
    assert found.since == "1970-01-01T00:00:00+00:00" < began.isoformat()


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
