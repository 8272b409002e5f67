"""Triggers and rules of OpenWhisk's API on the host, by what its controller answers."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from penstock.host.openwhisk import service
from penstock.host.openwhisk.actions import SUCCESS, Actions, Outcome
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.guest import AT, Guest, activation, executed, refused, serving
from tests.penstock.host.harness import RunningHost, until

ARRIVED = {"trigger": "/_/arrived", "action": "/_/box/shift"}


@pytest.fixture
def events(guest: Guest, make_function: MakeFunction) -> Guest:
    """The namespace with `box/shift`, which answers x + 1, and the trigger `arrived`, whose events have an x of 2."""
    guest.put(f"{AT}/actions/box/shift", json={"exec": executed(make_function(1))})
    guest.put(f"{AT}/triggers/arrived", json={"parameters": [{"key": "x", "value": 2.0}]})
    return guest


def told(guest: Guest, number: str) -> list[dict[str, Any]]:
    """What the activation of a trigger says of its rules."""
    return [json.loads(line) for line in activation(guest, number)["logs"]]


def test_a_trigger_starts_what_its_rules_name(events: Guest) -> None:
    """With its parameters and the event's, which take precedence; the record of it has the event, and each rule's activation."""
    events.put(f"{AT}/rules/each", json=ARRIVED)
    for event, prediction in (({}, 3.0), ({"x": 5.0}, 6.0)):
        fired = events.post(f"{AT}/triggers/arrived", json=event)
        assert fired.status_code == 202
        number = fired.json()["activationId"]
        assert fired.headers["x-openwhisk-activation-id"] == number
        record = events.get(f"{AT}/activations/{number}").json()
        assert (record["name"], record["version"], record["annotations"]) == ("arrived", "0.0.1", [])
        assert record["response"] == {"status": "success", "statusCode": 0, "success": True, "result": event}
        assert "end" not in record
        [said] = told(events, number)
        started = said.pop("activationId")
        assert said == {"rule": "guest/each", "action": "guest/box/shift", "statusCode": 0, "success": True}
        answered = activation(events, started)
        assert answered["response"]["result"]["prediction"] == prediction
        assert "cause" not in answered
    assert len(events.get(f"{AT}/activations?name=arrived").json()) == 2


def test_a_trigger_without_an_active_rule(events: Guest) -> None:
    """204, and no activation of it; a rule that is off beside one that is on is told."""
    assert events.post(f"{AT}/triggers/arrived", json={}).status_code == 204
    events.put(f"{AT}/rules/each", json=ARRIVED)
    switched = events.post(f"{AT}/rules/each", json={"status": "inactive"})
    assert (switched.status_code, switched.text) == (200, "OK")
    assert events.get(f"{AT}/rules/each").json()["status"] == "inactive"
    assert events.post(f"{AT}/triggers/arrived").status_code == 204
    assert events.get(f"{AT}/activations?count=true").json() == {"activations": 0}
    events.put(f"{AT}/rules/other", json=ARRIVED)
    said = told(events, events.post(f"{AT}/triggers/arrived").json()["activationId"])
    assert [each["success"] for each in said] == [False, True]
    assert said[0]["error"] == "Rule 'guest/each' is inactive, action 'guest/box/shift' was not activated."
    assert events.post(f"{AT}/rules/each", json={"status": "active"}).text == "OK"
    assert events.get(f"{AT}/triggers/arrived").json()["rules"]["guest/each"]["status"] == "active"


def test_an_action_that_is_not_started(events: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Throttled, or gone by now: still 202, and the error stands in the trigger's activation alone."""
    events.put(f"{AT}/rules/each", json=ARRIVED)
    monkeypatch.setattr(service, "MAX_CONCURRENT", 0)
    fired = events.post(f"{AT}/triggers/arrived")
    assert fired.status_code == 202
    monkeypatch.undo()
    [said] = told(events, fired.json()["activationId"])
    assert (said["success"], said["statusCode"]) == (False, 1)
    assert said["error"].startswith("Too many concurrent requests in flight")
    events.delete(f"{AT}/actions/box/shift")
    [said] = told(events, events.post(f"{AT}/triggers/arrived").json()["activationId"])
    assert said["error"] == "The requested resource does not exist."


def test_triggers_as_they_are_told(events: Guest) -> None:
    """409 for what is there; overwriting changes what is given, rules stay; annotations are replaced."""
    refused(events.put(f"{AT}/triggers/arrived", json={}), 409, "resource already exists")
    events.put(f"{AT}/rules/each", json=ARRIVED)
    change = {"annotations": [{"key": "a", "value": 1}]}
    events.put(f"{AT}/triggers/arrived?overwrite=true", json=change)
    change = {"annotations": [{"key": "b", "value": 2}]}
    put = events.put(f"{AT}/triggers/arrived?overwrite=true", json=change).json()
    assert put == events.get(f"{AT}/triggers/arrived").json()
    assert put["version"] == "0.0.3"
    assert put["annotations"] == [{"key": "b", "value": 2}]
    assert put["parameters"] == [{"key": "x", "value": 2.0}]
    rule = {"action": {"path": "guest/box", "name": "shift"}, "status": "active"}
    assert (put["limits"], put["rules"]) == ({}, {"guest/each": rule})
    [listed] = events.get(f"{AT}/triggers").json()
    assert set(listed) == {"namespace", "name", "version", "publish", "annotations", "updated"}
    assert events.get(f"{AT}/triggers?count=true").json() == {"triggers": 1}
    assert events.delete(f"{AT}/triggers/arrived").json()["name"] == "arrived"
    refused(events.delete(f"{AT}/triggers/arrived"), 404, "does not exist")
    refused(events.post(f"{AT}/triggers/arrived", json={}), 404, "does not exist")


def test_rules_as_they_are_told(events: Guest) -> None:
    """A new one is on; overwritten it stays as it was; a list says what it joins."""
    put = events.put(f"{AT}/rules/each", json={**ARRIVED, "action": "/guest/box/shift"}).json()
    assert put["status"] == "active"
    assert put["trigger"] == {"path": "guest", "name": "arrived"}
    assert put["action"] == {"path": "guest/box", "name": "shift"}
    assert "parameters" not in put
    refused(events.put(f"{AT}/rules/each", json=ARRIVED), 409, "resource already exists")
    events.post(f"{AT}/rules/each", json={"status": "inactive"})
    events.put(f"{AT}/triggers/left", json={})
    moved = events.put(f"{AT}/rules/each?overwrite=true", json={"trigger": "/_/left"}).json()
    assert (moved["status"], moved["version"], moved["trigger"]["name"]) == ("inactive", "0.0.2", "left")
    [listed] = events.get(f"{AT}/rules").json()
    assert listed == {name: value for name, value in moved.items() if name != "status"}
    assert events.get(f"{AT}/rules?count=true").json() == {"rules": 1}
    assert events.delete(f"{AT}/rules/each").json()["status"] == "inactive"
    refused(events.delete(f"{AT}/rules/each"), 404, "does not exist")
    refused(events.post(f"{AT}/rules/each", json={"status": "active"}), 404, "does not exist")


def test_a_rule_outlives_its_trigger(events: Guest) -> None:
    """Off, until both are there again and somebody switches it on."""
    events.put(f"{AT}/rules/each", json=ARRIVED)
    events.delete(f"{AT}/triggers/arrived")
    assert events.get(f"{AT}/rules/each").json()["status"] == "inactive"
    refused(events.post(f"{AT}/rules/each", json={"status": "active"}), 404, "existing triggers")
    assert events.post(f"{AT}/rules/each", json={"status": "inactive"}).status_code == 200
    events.put(f"{AT}/triggers/arrived", json={})
    assert events.post(f"{AT}/triggers/arrived").status_code == 204
    events.post(f"{AT}/rules/each", json={"status": "active"})
    assert events.post(f"{AT}/triggers/arrived", json={"x": 1.0}).status_code == 202


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("rules/x", {}, 400, "requires a valid trigger"),
        ("rules/x", {"trigger": "/_/arrived"}, 400, "requires a valid trigger"),
        ("rules/x", {**ARRIVED, "trigger": "/_/none"}, 400, "trigger /guest/none does not exist"),
        ("rules/x", {**ARRIVED, "action": "/_/box/none"}, 400, "action /guest/box/none does not exist"),
        ("rules/x", {**ARRIVED, "trigger": "arrived"}, 400, "no full name"),
        ("rules/x", {**ARRIVED, "action": "/_/"}, 400, "no full name"),
        ("rules/x", {**ARRIVED, "action": "/other/box/shift"}, 403, "not authorized"),
        ("rules/x", {**ARRIVED, "trigger": 1}, 400, "trigger"),
        ("rules/.x", ARRIVED, 400, "no name of an entity"),
        ("rules/arrived", ARRIVED, 409, "exists but is not in this collection"),
        ("rules/box", ARRIVED, 409, "exists but is not in this collection"),
        ("triggers/box", {}, 409, "exists but is not in this collection"),
        ("packages/arrived", {}, 409, "exists but is not in this collection"),
        ("actions/arrived", {}, 409, "exists but is not in this collection"),
        ("triggers/x", {"annotations": [{"key": "feed", "value": "/whisk.system/alarms/alarm"}]}, 400, "no feeds"),
        ("triggers/x", {"parameters": [{"key": "a", "value": "a" * 2**20}]}, 413, "too large"),
        ("triggers/x", {"version": "one"}, 400, "version"),
    ],
)  # fmt: skip
def test_what_is_none(events: Guest, path: str, body: dict[str, Any], status: int, said: str) -> None:
    """It is refused with what is wrong, and nothing of it is there."""
    refused(events.put(f"{AT}/{path}", json=body), status, said)
    assert [each["name"] for each in events.get(f"{AT}/triggers").json()] == ["arrived"]
    assert events.get(f"{AT}/rules").json() == []


def test_bodies_that_are_none(events: Guest) -> None:
    """Of events, and of what switches a rule."""
    events.put(f"{AT}/rules/each", json=ARRIVED)
    for content in (b"{", b"[1]", b"1", b"[" * 100_000):
        refused(events.post(f"{AT}/triggers/arrived", content=content), 400, "content was malformed")
    refused(events.post(f"{AT}/triggers/arrived", json={"x": "a" * 2**20}), 413, "more than")
    for status in ({}, {"status": "on"}, {"status": None}):
        refused(events.post(f"{AT}/rules/each", json=status), 400, "status")


def test_the_key_of_another_namespace(events: Guest, whisk: TestClient) -> None:
    """It neither sees, fires, switches nor removes them; its own may have the same names."""
    events.put(f"{AT}/rules/each", json=ARRIVED)
    other = Guest(whisk, "other")
    at = "/api/v1/namespaces/guest"
    for method, path in (
        ("GET", "triggers"), ("GET", "rules/each"), ("POST", "triggers/arrived"),
        ("DELETE", "triggers/arrived"), ("DELETE", "rules/each"), ("PUT", "rules/each?overwrite=true"),
    ):  # fmt: skip
        refused(other.request(method, f"{at}/{path}"), 403, "not authorized")
    refused(other.post(f"{at}/rules/each", json={"status": "inactive"}), 403, "not authorized")
    assert other.get(f"{AT}/triggers").json() == other.get(f"{AT}/rules").json() == []
    assert other.put(f"{AT}/triggers/arrived", json={}).status_code == 200
    assert whisk.delete("/namespaces/other").status_code == 204


def test_a_killed_host(host: RunningHost, make_function: MakeFunction) -> None:
    """Whatever was answered is there for the next one, while others write at the moment of the kill."""
    identity, _, secret = host.client.put("/namespaces/events").json()["key"].partition(":")
    client, auth = host.client, (identity, secret)
    client.put(f"{AT}/packages/box", json={}, auth=auth)
    client.put(f"{AT}/actions/box/shift", json={"exec": executed(make_function(1))}, auth=auth)
    client.put(f"{AT}/triggers/arrived", json={}, auth=auth)
    written: list[str] = []

    def write() -> None:
        for number in range(10_000):
            try:
                put = client.put(f"{AT}/rules/rule-{number}", json=ARRIVED, auth=auth)
            except httpx.TransportError:  # the host has gone
                return
            assert put.status_code == 200
            written.append(f"rule-{number}")

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: len(written) >= 20, "it has written some")
    host.kill()
    writer.join()
    host.start()
    rules = set(host.client.get(f"{AT}/triggers/arrived", auth=auth).json()["rules"])
    assert rules >= {f"events/{name}" for name in written}
    assert len(rules) <= len(written) + 1
    assert host.client.post(f"{AT}/triggers/arrived", json={"x": 1.0}, auth=auth).status_code == 202
    assert host.client.delete("/namespaces/events").status_code == 204


NAMES = st.sampled_from(["a", "b"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put trigger"), NAMES),
        st.tuples(st.just("remove trigger"), NAMES),
        st.tuples(st.just("put rule"), NAMES, NAMES),
        st.tuples(st.just("remove rule"), NAMES),
        st.tuples(st.just("switch"), NAMES, st.sampled_from(["active", "inactive"])),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A host whose actions answer at once."""
    patch = pytest.MonkeyPatch()

    async def run(*_: object) -> Outcome:
        return Outcome(SUCCESS, {}, [])

    patch.setattr(Actions, "run", run)
    with serving(tmp_path_factory.mktemp("quick") / "state") as client:
        yield client
    patch.undo()


@pytest.fixture(scope="module")
def component(make_function: MakeFunction) -> dict[str, Any]:
    return {"exec": executed(make_function(1))}


@settings(max_examples=40, deadline=None)
@given(CHANGES)
def test_a_trigger_starts_exactly_the_rules_that_are_on(
    quick: TestClient, component: dict[str, Any], changes: list[tuple[str, ...]]
) -> None:
    """Whatever was put, removed and switched before: by a model of two dictionaries."""
    guest = Guest(quick, "model")
    guest.put(f"{AT}/actions/act", json=component)
    triggers: set[str] = set()
    rules: dict[str, tuple[str, bool]] = {}  # of each rule its trigger, and whether it is on
    for change, *names in changes:
        first = names[0]
        if change == "put trigger":
            status, triggers = 200, triggers | {first}
            answer = guest.put(f"{AT}/triggers/t-{first}?overwrite=true", json={})
        elif change == "remove trigger":
            status = 200 if first in triggers else 404
            triggers -= {first}
            rules = {name: (of, on and of != first) for name, (of, on) in rules.items()}
            answer = guest.delete(f"{AT}/triggers/t-{first}")
        elif change == "put rule":
            status = 200 if names[1] in triggers else 400
            if status == 200:
                rules[first] = (names[1], rules[first][1] if first in rules else True)
            body = {"trigger": f"/_/t-{names[1]}", "action": "/_/act"}
            answer = guest.put(f"{AT}/rules/r-{first}?overwrite=true", json=body)
        elif change == "remove rule":
            status = 404 if rules.pop(first, None) is None else 200
            answer = guest.delete(f"{AT}/rules/r-{first}")
        else:
            on = names[1] == "active"
            known = first in rules and (rules[first][0] in triggers or not on)
            status = 200 if known else 404
            if known:
                rules[first] = (rules[first][0], on)
            answer = guest.post(f"{AT}/rules/r-{first}", json={"status": names[1]})
        assert answer.status_code == status, (change, names, answer.text)
    for trigger in triggers:
        expected = {f"model/r-{name}" for name, rule in rules.items() if rule == (trigger, True)}
        fired = guest.post(f"{AT}/triggers/t-{trigger}")
        started = (
            {each["rule"] for each in told(guest, fired.json()["activationId"]) if each["success"]}
            if fired.status_code == 202
            else set()
        )
        assert started == expected
        assert fired.status_code == (202 if expected else 204)
    assert quick.delete("/namespaces/model").status_code == 204


def test_a_state_of_before_there_were_triggers(tmp_path: Path) -> None:
    """A namespace's file without them is read."""
    with serving(tmp_path) as host:
        guest = Guest(host)
    file = tmp_path / "openwhisk" / "namespaces" / "guest.json"
    kept = json.loads(file.read_text())
    del kept["triggers"], kept["rules"]
    file.write_text(json.dumps(kept))
    with serving(tmp_path) as host:
        assert guest.of(host).get(f"{AT}/triggers").json() == []
