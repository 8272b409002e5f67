"""Triggers, feeds and rules: what starts a function on OpenWhisk is what its spec declares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.errors import DeployError
from penstock.promotion import Promotion
from penstock.spec.function import Trigger
from penstock.targets import TargetError
from penstock.targets.openwhisk.target import OpenWhiskTarget
from tests.openwhisk import AUTH, Server, garbage
from tests.penstock.host.harness import until
from tests.penstock.shop import Shop
from tests.penstock.targets.conftest import Hosted, Open, Packages

NIGHTLY = {"cron": "0 3 * * *", "payload": {"raw": "2"}}
ORDERS = {
    "feed": "/whisk.system/messaging/kafkaFeed",
    "parameters": {"brokers": ["kafka:9092"], "topic": "orders", "isJSONData": True},
    "secrets": {"password": "ORDERS_PASSWORD"},
}
BY_HAND: dict[str, Any] = {}
FULL = "penstock.shift.nightly"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a spec refers to is set."""
    monkeypatch.setenv("ORDERS_PASSWORD", "s3cret")


def deploy(opened: Open, packages: Packages, **triggers: Any) -> OpenWhiskTarget:
    """The function live, with these triggers."""
    target = opened(triggers=triggers)
    target.route("shift", target.put(packages["first"]))
    target.attach("shift")
    return target


def fire(hosted: Hosted, trigger: str, event: Any) -> int:
    """What the function host answers to an event."""
    return hosted.request("POST", f"/triggers/{trigger}", event).status_code


def answers(hosted: Hosted, count: int) -> list[Any]:
    """What the live name answered so far, the first one first, once that is so many times."""
    url = "/activations?name=penstock/shift&docs=true"
    until(lambda: len(hosted.request("GET", url).json()) >= count, f"it answered {count} times")
    return [each["response"]["result"] for each in reversed(hosted.request("GET", url).json())]


def test_what_is_declared_starts_the_function(server: Server, opened: Open, packages: Packages) -> None:
    """The time, a feed, and whoever fires the trigger: each by its rule, which is on."""
    target = deploy(opened, packages, nightly=NIGHTLY, orders=ORDERS, manual=BY_HAND)
    assert server.feeds["alarms/alarm"] == {f"/guest/{FULL}": {"cron": "0 3 * * *", "authKey": AUTH}}
    [told] = server.feeds["messaging/kafkaFeed"].values()
    assert told == {"brokers": ["kafka:9092"], "topic": "orders", "isJSONData": True, "password": "s3cret", "authKey": AUTH}  # fmt: skip
    status = target.status("shift")
    assert {(each.name, each.feed, each.active) for each in status.triggers} == {
        (FULL, "/whisk.system/alarms/alarm", True),
        ("penstock.shift.orders", "/whisk.system/messaging/kafkaFeed", True),
        ("penstock.shift.manual", None, True),
    }
    assert status.differs == ()


def test_an_event_asks_the_function(hosted: Hosted, on_host: Open, packages: Packages) -> None:
    """On the function host: with the payload that is declared, and what whoever fires it gives."""
    deploy(on_host, packages, daily={"payload": {"raw": "2"}}, manual=BY_HAND)
    assert fire(hosted, "penstock.shift.daily", {}) == 202
    assert answers(hosted, 1)[0]["prediction"] == 3.0
    assert fire(hosted, "penstock.shift.manual", {"raw": "6"}) == 202
    assert answers(hosted, 2)[1]["prediction"] == 7.0


def test_a_batch_of_messages_is_scored(hosted: Hosted, on_host: Open, packages: Packages) -> None:
    """An event of the Kafka feed has messages; the value of each is a record."""
    deploy(on_host, packages, orders=BY_HAND)
    messages = [
        {"topic": "orders", "partition": 0, "offset": n, "key": None, "value": {"raw": str(n)}}
        for n in (1, 2)
    ]
    assert fire(hosted, "penstock.shift.orders", {"messages": messages}) == 202
    [answer] = answers(hosted, 1)
    assert [each["prediction"] for each in answer["predictions"]] == [2.0, 3.0]


def test_deploying_again_changes_nothing(server: Server, opened: Open, packages: Packages) -> None:
    """A trigger that is as declared is left alone, and so is its feed."""
    deploy(opened, packages, nightly=NIGHTLY)
    server.seen.clear()
    deploy(opened, packages, nightly=NIGHTLY)
    assert [path for method, path in server.seen if "triggers/" in path and method != "GET"] == []
    assert not any("whisk.system" in path for _, path in server.seen)


def test_what_changed_is_made_anew_and_what_is_no_longer_declared_goes(
    server: Server, opened: Open, packages: Packages
) -> None:
    """Its feed is told each time; status says what is otherwise before."""
    deploy(opened, packages, nightly=NIGHTLY, orders=ORDERS)
    other = opened(triggers={"nightly": {**NIGHTLY, "cron": "0 4 * * *"}, "manual": BY_HAND})
    differs = " ".join(other.status("shift").differs)
    assert "trigger orders is there" in differs
    assert "trigger nightly is not as function.triggers says" in differs
    assert "trigger manual is not as" in differs
    deploy(opened, packages, nightly={**NIGHTLY, "cron": "0 4 * * *"}, manual=BY_HAND)
    assert set(server.triggers) == {FULL, "penstock.shift.manual"}
    assert set(server.rules) == {f"{name}.rule" for name in server.triggers}
    assert server.feeds["alarms/alarm"][f"/guest/{FULL}"]["cron"] == "0 4 * * *"
    assert not server.feeds["messaging/kafkaFeed"]
    deploy(opened, packages, nightly=BY_HAND, manual=BY_HAND)
    assert not server.feeds["alarms/alarm"]


def test_a_rule_that_was_switched_off_is_told_and_switched_on(
    hosted: Hosted, on_host: Open, packages: Packages
) -> None:
    """By hand, say; the server then answers that nothing was started."""
    target = deploy(on_host, packages, manual=BY_HAND)
    rule = "/rules/penstock.shift.manual.rule"
    assert hosted.request("POST", rule, {"status": "inactive"}).status_code == 200
    assert fire(hosted, "penstock.shift.manual", {"raw": "2"}) == 204
    [differs] = target.status("shift").differs
    assert "the trigger manual does not start it" in differs
    assert not target.status("shift").triggers[0].active
    target.attach("shift")
    assert target.status("shift").differs == ()
    assert fire(hosted, "penstock.shift.manual", {"raw": "2"}) == 202


def test_an_event_that_did_not_come_through_is_told(server: Server, opened: Open, packages: Packages) -> None:
    """Whoever fired it was told nothing: the server has it in the record of the event."""
    target = deploy(opened, packages, arrived=BY_HAND)
    fired = "penstock.shift.arrived"
    lines = [
        {"success": True, "activationId": "0" * 32},
        {"success": False, "error": "Too many requests in the last minute."},
    ]
    assert {each.fault for each in target.status("shift").triggers} == {None}
    for number, logs in enumerate((lines, lines[:1])):
        server.records[str(number)] = {
            "activationId": str(number), "name": fired, "path": f"guest/{fired}", "start": number, "duration": 1,
            "response": {"status": "success", "result": {}}, "logs": [json.dumps(line) for line in logs],
        }  # fmt: skip
        faults = {each.name: each.fault for each in target.status("shift").triggers}
        assert faults[fired] == (None if number else "Too many requests in the last minute.")


def test_triggers_on_the_function_host(hosted: Hosted, on_host: Open, packages: Packages) -> None:
    """They come, change and go with what is declared, beside others'; a feed is refused, and nothing of it is left."""
    hosted.change("/triggers/theirs")
    target = deploy(on_host, packages, first=BY_HAND, second=BY_HAND)
    assert len(target.status("shift").triggers) == 2
    deploy(on_host, packages, second={"payload": {"raw": "2"}})
    assert hosted.listed("triggers") == ["penstock.shift.second", "theirs"]
    assert hosted.listed("rules") == ["penstock.shift.second.rule"]
    with pytest.raises(TargetError, match="This host has no feeds"):
        deploy(on_host, packages, nightly=NIGHTLY, second={"payload": {"raw": "2"}})
    assert hosted.listed("triggers") == ["penstock.shift.second", "theirs"]
    target.remove("shift")
    assert (hosted.listed("triggers"), hosted.listed("rules")) == (["theirs"], [])


def test_removing_a_function_takes_them_away(server: Server, opened: Open, packages: Packages) -> None:
    """Its own: neither those of another function, nor what somebody else made."""
    target = deploy(opened, packages, nightly=NIGHTLY, orders=ORDERS)
    server.triggers["penstock.shift"] = server.triggers["penstock.shifty.nightly"] = {"name": "theirs"}
    target.remove("shift")
    assert set(server.triggers) == {"penstock.shift", "penstock.shifty.nightly"}
    assert not server.rules
    assert not any(server.feeds.values())


def test_a_feed_that_refuses_is_told_without_the_key(
    server: Server, opened: Open, packages: Packages
) -> None:
    """It was told the key, to fire with; the next attempt begins the trigger anew."""
    with pytest.raises(
        TargetError, match=r"would not fire the trigger.*never on Sundays.*\(the key\)"
    ) as caught:
        deploy(opened, packages, nightly={**NIGHTLY, "cron": "@weekly"})
    assert AUTH not in str(caught.value)
    assert "function.triggers" in str(caught.value.next_step)
    target = opened(triggers={"nightly": NIGHTLY})
    assert len(target.status("shift").differs) == 1
    target.attach("shift")
    assert target.status("shift").differs == ()


def test_a_feed_that_is_gone_lets_its_trigger_go(server: Server, opened: Open, packages: Packages) -> None:
    """Its provider was taken away; one that fails otherwise may fire on, and is asked again."""
    target = deploy(opened, packages, orders=ORDERS)
    server.faults.append(("POST /whisk.system/actions/messaging/kafkaFeed", garbage()))
    with pytest.raises(TargetError, match="upstream connect error"):
        target.remove("shift")
    del server.feeds["messaging/kafkaFeed"]
    target.remove("shift")
    assert not server.triggers
    server.feeds["messaging/kafkaFeed"] = {}


def test_a_version_is_live_whatever_becomes_of_its_triggers(server: Server, opened: Open, shop: Shop) -> None:
    """A feed's refusal is no fault of the model: it serves and is the champion, and deploying again finishes the rest."""
    version = shop.register()
    for cron, refused in (("@weekly", True), ("@daily", False)):
        target = opened(triggers={"nightly": {"cron": cron, "payload": {"x": 1.0}}})
        promotion = Promotion(shop.settings, "shift", "shift", target, shop.registry)
        if refused:
            with pytest.raises(DeployError, match="version 1 of shift is live, but not all that starts it"):
                promotion.promote(version, shop.package(version), judged_against=None)
        else:
            promotion.promote(version, shop.package(version), judged_against=None)
        assert target.serving("shift") == target.status("shift").live
        champion = shop.registry.champion("shift")
        assert champion is not None
        assert champion.version == version
        assert bool(target.status("shift").differs) is refused


def test_a_secret_that_is_not_set_is_told_before_anything_is_changed(
    server: Server, opened: Open, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable's name."""
    monkeypatch.delenv("ORDERS_PASSWORD")
    with pytest.raises(TargetError, match="takes secrets from ORDERS_PASSWORD, which is not set"):
        deploy(opened, packages, nightly=NIGHTLY, orders=ORDERS)
    assert not server.triggers


def test_many_triggers_are_all_seen(server: Server, opened: Open, packages: Packages) -> None:
    """A list has 200 at most, and other triggers lie in the namespace."""
    server.triggers.update({f"theirs-{number}": {"name": f"theirs-{number}"} for number in range(200)})
    target = deploy(opened, packages, nightly=NIGHTLY)
    assert [each.name for each in target.status("shift").triggers] == [FULL]


def test_attaching_that_is_cut_anywhere_is_finished_by_the_next(
    server: Server, opened: Open, packages: Packages
) -> None:
    """After each request that it makes in turn, from other triggers before: none is left, none fires twice or not at all."""
    target = opened()
    target.route("shift", target.put(packages["first"]))
    before = opened(triggers={"nightly": {**NIGHTLY, "cron": "0 4 * * *"}, "old": NIGHTLY})
    after = opened(triggers={"nightly": NIGHTLY, "orders": ORDERS})
    done, requests = False, 0
    while not done:
        before.attach("shift")
        requests += 1
        server.requests_left = requests
        try:
            after.attach("shift")
            done = server.requests_left > 0
        except TargetError:
            pass
        server.requests_left = None
        after.attach("shift")
        assert after.status("shift").differs == ()
        assert set(server.triggers) == {FULL, "penstock.shift.orders"}
        assert set(server.rules) == {f"{name}.rule" for name in server.triggers}
        assert server.feeds["alarms/alarm"] == {f"/guest/{FULL}": {"cron": "0 3 * * *", "authKey": AUTH}}
        assert set(server.feeds["messaging/kafkaFeed"]) == {"/guest/penstock.shift.orders"}
    assert requests > 15


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"cron": "often"}, "is no cron expression"),
        ({"cron": "@daily"}, "has cron, and no payload"),
        ({**NIGHTLY, "feed": "/a/b/c"}, "has cron and feed"),
        ({**NIGHTLY, "parameters": {"a": 1}}, "has parameters or secrets"),
        ({"feed": "alarms/alarm"}, "feed"),
        ({**ORDERS, "secrets": {"topic": "TOPIC"}}, "has topic in both"),
        ({**ORDERS, "secrets": {"password": "not a name"}}, "secrets.password"),
    ],
)
def test_a_wrong_declaration_is_refused(declared: Any, said: str) -> None:
    """When it is parsed."""
    with pytest.raises(ValueError, match=said):
        Trigger.model_validate(declared)
