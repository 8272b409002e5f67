"""Rollouts on OpenWhisk: a conductor deals requests, and whoever looks takes the next step by the records of activations."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.promotion import Promotion
from penstock.registry import ROLLOUT
from penstock.rollout import following
from penstock.rollout.record import Record
from penstock.spec.rollout import Rollout
from penstock.targets import Status, TargetError
from penstock.targets.openwhisk import deal, rolling
from penstock.targets.openwhisk.client import Activation, OpenWhisk
from penstock.targets.openwhisk.rolling import Kept, Rolling, seen
from penstock.targets.openwhisk.target import OpenWhiskTarget
from tests.openwhisk import Server, refusal
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import until
from tests.penstock.shop import Shop
from tests.penstock.targets.conftest import Open, Packages

PLAN = Rollout(steps=(50, 80), requests=10, minutes=0)
#: Fails once it has proved itself.
FAILS = """
TAKES = {}
GIVES = {"checked": "boolean"}
EXAMPLES = [({}, {"checked": True})]
answers = iter([True])

def run(record):
    return {"checked": next(answers)}
"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are on record when they are there, and every look is taken."""
    monkeypatch.setattr(rolling, "LOOK", 0.0)
    monkeypatch.setattr(rolling, "recorded_after", lambda *_: 0)


@pytest.fixture
def target(opened: Open, packages: Packages) -> OpenWhiskTarget:
    """The first version live, with steps as actions of their own; the second one put."""
    made = opened()
    made.route("shift", made.put(packages["first"]))
    return made


def recorded(server: Server) -> None:
    """Wait until every answer is on record."""
    count = -1

    def stays() -> bool:
        nonlocal count
        before, count = count, len(server.records)
        time.sleep(0.05)
        return before == count

    until(stays, "all is on record")


def ask(target: OpenWhiskTarget, server: Server, times: int, raw: str = "2") -> Counter[float]:
    """What the live name answers, so many times."""
    found = Counter(target.invoke("shift", {"raw": raw})["prediction"] for _ in range(times))
    recorded(server)
    return found


def steps(target: OpenWhiskTarget, server: Server, raw: str = "2") -> Status:
    """Its status once the rollout has ended, by requests and looks."""
    for _ in range(40):
        ask(target, server, 25, raw)
        status = target.take_step("shift")
        assert status.rollout is not None
        if status.rollout.over:
            return status
    raise AssertionError(status)


def test_a_version_that_is_no_worse_takes_over(
    server: Server, target: OpenWhiskTarget, packages: Packages
) -> None:
    """Step by step, by activations alone: meanwhile both answer, and then the live name is its sequence again."""
    first, second = target.status("shift").live, target.put(packages["second"])
    before = target.status("shift")
    target.roll_out("shift", second, PLAN, "run")
    begun = target.status("shift")
    assert begun.rollout is not None
    assert (begun.live, begun.since, begun.differs) == (first, before.since, ())
    assert (begun.rollout.state, begun.rollout.share, begun.rollout.stage) == ("under way", 50, 1)
    assert set(ask(target, server, 30)) == {3.0, 4.0}
    [conductor] = server.actions["penstock/shift"]["exec"]["components"]
    assert server.actions[conductor.removeprefix("/_/")]["exec"]["kind"] == "python:default"
    looked = target.take_step("shift").rollout
    assert looked is not None
    assert looked.candidate is not None
    assert looked.champion is not None
    ended = steps(target, server)
    assert ended.rollout is not None
    assert (ended.rollout.state, ended.rollout.share) == ("promoted", 100)
    assert ended.live == second == target.serving("shift")
    assert set(ask(target, server, 3)) == {4.0}
    # As a promotion does it: nothing more moves.
    target.put(packages["second"])
    target.route("shift", second)
    after = target.status("shift")
    assert (after.since, after.rollout, after.differs) == (ended.since, ended.rollout, ())


def test_what_it_fails_the_other_one_answers(
    server: Server, opened: Open, packages: Packages, make_function: MakeFunction
) -> None:
    """No caller sees it, and it goes back by itself with the reason in numbers."""
    target = opened(chain="process")
    first = target.put(make_function(1))
    target.route("shift", first)
    failing = target.put(make_function(2, steps={"steps/fails/step.py": FAILS}))
    target.roll_out("shift", failing, Rollout(steps=(50,), requests=5000, minutes=0), "run")
    for _ in range(30):
        assert {target.invoke("shift", {"x": 1.0})["prediction"] for _ in range(10)} == {2.0}
        recorded(server)
        status = target.take_step("shift")
        assert status.rollout is not None
        if status.rollout.over:
            break
    assert status.rollout.state == "worse"
    assert status.rollout.reason.startswith("errors: ")
    assert (status.live, target.serving("shift")) == (first, first)
    champion = [each for path, each in server.actions.items() if path == f"penstock/shift-{first}.dealt"]
    assert champion, "what is on its way may ask it still"


def test_a_refusal_is_passed_on(server: Server, target: OpenWhiskTarget, packages: Packages) -> None:
    """Of a record that neither takes, in the runtime's words; it is nobody's failure."""
    target.roll_out("shift", target.put(packages["second"]), PLAN, "run")
    for _ in range(12):
        with pytest.raises(TargetError, match="the step raw refuses"):
            target.invoke("shift", {"raw": "far"})
    recorded(server)
    status = target.take_step("shift").rollout
    assert status is not None
    for side in (status.candidate, status.champion):
        assert side is not None
        assert side.errors == 0
        assert side.refusals == side.requests


def test_another_goes_on_where_one_died(
    server: Server, opened: Open, target: OpenWhiskTarget, packages: Packages
) -> None:
    """All that is known lies with the live name: who looks next has every count."""
    target.roll_out(
        "shift", target.put(packages["second"]), PLAN.model_copy(update={"requests": 10**6}), "run"
    )
    ask(target, server, 15)
    seen_by_one = target.take_step("shift").rollout
    another = opened()
    assert another.status("shift").rollout == seen_by_one
    ask(target, server, 15)
    seen_by_another = another.take_step("shift").rollout
    assert seen_by_one is not None
    assert seen_by_another is not None
    total = sum(side.requests for side in (seen_by_another.candidate, seen_by_another.champion) if side)
    assert total == 30


def test_a_rollout_begins_once(
    server: Server, target: OpenWhiskTarget, packages: Packages, make_function: MakeFunction
) -> None:
    """By the same run again nothing changes, by others it is a 409; so is one of what serves, or of nothing."""
    second, other = target.put(packages["second"]), target.put(make_function(5))
    target.roll_out("shift", second, PLAN, "run")
    version = server.actions["penstock/shift"]["version"]
    target.roll_out("shift", second, PLAN, "run")
    assert server.actions["penstock/shift"]["version"] == version
    live = target.status("shift").live
    assert live is not None
    for revision, said in ((other, "is being rolled out"), (live, "is being rolled out")):
        with pytest.raises(TargetError, match=said) as caught:
            target.roll_out("shift", revision, PLAN, "other")
        assert caught.value.status == 409
    target.steer("shift", "abort")
    target.roll_out("shift", second, PLAN, "run")
    rollout = target.status("shift").rollout
    assert rollout is not None
    assert rollout.state == "aborted", "it stays ended for that run"
    with pytest.raises(TargetError, match="is the live revision"):
        target.roll_out("shift", live, PLAN, "third")
    target.put(packages["other"])
    with pytest.raises(TargetError, match="no live revision"):
        target.roll_out("other", str(target.status("other").revisions[0].revision), PLAN, "run")


def test_a_person_steers_it(server: Server, target: OpenWhiskTarget, packages: Packages) -> None:
    """Paused it stays at its step; promoted or aborted it ends at once; then there is none to steer."""
    second = target.put(packages["second"])
    target.roll_out("shift", second, PLAN, "run")
    target.steer("shift", "pause")
    ask(target, server, 60)
    paused = target.take_step("shift").rollout
    assert paused is not None
    assert (paused.state, paused.stage) == ("paused", 1)
    target.steer("shift", "resume")
    resumed = target.take_step("shift").rollout
    assert resumed is not None
    assert (resumed.state, resumed.stage) == ("under way", 2)
    assert target.steer("shift", "promote").live == second
    assert set(ask(target, server, 3)) == {4.0}
    with pytest.raises(TargetError, match="no rollout of shift is in course") as caught:
        target.steer("shift", "abort")
    assert caught.value.status == 409


def test_moving_the_live_name_ends_it(server: Server, target: OpenWhiskTarget, packages: Packages) -> None:
    """As going back does: what is told of it says so, also of the web and of triggers nothing is lost."""
    second = target.put(packages["second"])
    first = target.status("shift").live
    assert first is not None
    target.roll_out("shift", second, PLAN, "run")
    target.route("shift", first)
    status = target.status("shift")
    assert status.rollout is not None
    assert (status.live, status.rollout.state) == (first, "aborted")
    assert set(ask(target, server, 5)) == {3.0}


def test_its_actions_go_when_nothing_is_on_its_way_any_more(
    server: Server, target: OpenWhiskTarget, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next version that is put; removing the function takes all of them."""
    before = set(server.actions)
    second = target.put(packages["second"])
    own = set(server.actions) - before
    target.roll_out("shift", second, PLAN, "run")
    target.steer("shift", "abort")
    target.put(packages["second"])
    made = set(server.actions) - before - own
    assert len(made) == 4, "a conductor, and three sequences that it asks"
    monkeypatch.setattr(rolling, "_ON_THE_WAY", 0)
    target.put(packages["second"])
    assert set(server.actions) == before | own
    target.roll_out("shift", second, PLAN, "other")
    target.remove("shift")
    assert not server.actions


def test_what_cannot_be_had(server: Server, target: OpenWhiskTarget, packages: Packages) -> None:
    """All that is wrong is told at once, with what to change, and nothing has begun."""
    second = target.put(packages["second"])
    server.limits |= {"allowedKinds": ["blackbox"], "storeActivations": False}
    plan = PLAN.model_copy(update={"shadow": 10, "sticky": "X-Customer", "losses": 2.0})
    with pytest.raises(TargetError) as caught:
        target.roll_out("shift", second, plan, "run")
    assert caught.value.status == 422
    faults = (
        "take shadow out",
        "take sticky out",
        "take losses out",
        "allows blackbox",
        "no records of activations",
    )
    for said in faults:
        assert said in caught.value.message
    assert target.status("shift").rollout is None


def test_a_conductor_that_does_not_run_gets_no_request(
    server: Server, target: OpenWhiskTarget, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a server whose Python is too old: that is told, and what serves is asked as before."""
    monkeypatch.setattr(
        Path, "read_text", lambda _: "def main(args): raise OSError('too old')\nimport json\nPLAN = {}"
    )
    with pytest.raises(TargetError, match=r"cannot be dealt on this server.*too old"):
        target.roll_out("shift", target.put(packages["second"]), PLAN, "run")
    monkeypatch.undo()
    assert target.status("shift").rollout is None
    assert target.invoke("shift", {"raw": "2"})["prediction"] == 3.0


def test_a_begin_that_is_cut_anywhere_is_made_again(
    server: Server, target: OpenWhiskTarget, packages: Packages
) -> None:
    """After each request that it makes in turn: the live name answers all the time, and again begins it."""
    second = target.put(packages["second"])
    done, after = False, 0
    while not done:
        after += 1
        server.requests_left = after
        try:
            target.roll_out("shift", second, PLAN, f"run {after}")
            done = server.requests_left > 0
        except TargetError:
            pass
        server.requests_left = None
        assert target.invoke("shift", {"raw": "2"})["prediction"] in (3.0, 4.0)
        target.roll_out("shift", second, PLAN, f"run {after}")
        rollout = target.steer("shift", "abort").rollout
        assert rollout is not None
        assert rollout.revision == second
        assert target.invoke("shift", {"raw": "2"})["prediction"] == 3.0
    assert after > 6


def test_who_writes_meanwhile_is_not_overwritten(
    server: Server, target: OpenWhiskTarget, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that has read before somebody aborted looks again, and finds it ended."""
    target.roll_out("shift", target.put(packages["second"]), PLAN, "run")
    looking = Rolling._further

    def slow(self: Rolling, *given: Any) -> Kept:
        found = looking(self, *given)
        monkeypatch.undo()
        target.steer("shift", "abort")
        return found

    monkeypatch.setattr(Rolling, "_further", slow)
    rollout = target.take_step("shift").rollout
    assert rollout is not None
    assert rollout.state == "aborted"


def test_a_write_that_is_refused_for_another_is_not_repeated(
    server: Server, target: OpenWhiskTarget, packages: Packages
) -> None:
    """The other has changed what was read: a look reads again, and takes its step by that."""
    target.roll_out("shift", target.put(packages["second"]), PLAN, "run")

    def first_the_other() -> Any:
        target.steer("shift", "abort")
        return refusal(409, "Concurrent modification to resource detected.")

    server.replaced["PUT /actions/penstock/shift"] = first_the_other
    rollout = target.take_step("shift").rollout
    assert rollout is not None
    assert rollout.state == "aborted"


@pytest.mark.parametrize("gone", ["rollout", "dealt"])
def test_what_deals_is_made_again(
    server: Server, target: OpenWhiskTarget, packages: Packages, gone: str
) -> None:
    """The conductor, or what it asks, deleted by hand: the next look finds it, and the rollout goes on to its end."""
    second = target.put(packages["second"])
    target.roll_out("shift", second, PLAN, "run")
    for path in [path for path in server.actions if gone in path]:
        del server.actions[path]
    with pytest.raises(TargetError):
        ask(target, server, 20)
    recorded(server)
    status = target.take_step("shift")
    assert status.rollout is not None
    assert status.rollout.state == "under way"
    assert set(ask(target, server, 30)) == {3.0, 4.0}


def test_a_champion_that_is_gone_ends_it(
    server: Server, opened: Open, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its action deleted by hand while another version is rolled out: it comes back, has all traffic, and the registry knows why."""
    target = opened()
    promotion = Promotion(shop.settings, "shift", "shift", target, shop.registry)
    first = shop.register()
    promotion.promote(first, shop.package(first), judged_against=None)
    second = shop.register()
    revision = promotion._begin(promotion._known(second), shop.package(second), PLAN, "run")
    champion = target.status("shift").live
    for path in [path for path in server.actions if path.startswith(f"penstock/shift-{champion}.")]:
        if "rollout" not in path and not path.endswith((".dealt", ".instead")):
            del server.actions[path]
    live = promotion.keep_up()
    assert live is not None
    assert (live.version, live.revision) == (first, champion) != (second, revision)
    assert target.invoke("shift", {"x": 0.0})["prediction"] == 1.0
    promotion.keep_up()
    ended = target.status("shift").rollout
    assert ended is not None
    assert ended.state == "aborted"
    tags = shop.registry.version("shift", second).tags
    assert tags[ROLLOUT] == "aborted"
    assert promotion.keep_up() is None


def test_a_conductor_is_of_a_kind_that_is_allowed(
    server: Server, target: OpenWhiskTarget, packages: Packages
) -> None:
    """Where the server allows some kinds, the newest Python among them."""
    second = target.put(packages["second"])
    server.limits["allowedKinds"] = ["blackbox", "sequence", "python:3.9", "python:3.10", "nodejs:20"]
    target.roll_out("shift", second, PLAN, "run")
    [conductor] = server.actions["penstock/shift"]["exec"]["components"]
    assert server.actions[conductor.removeprefix("/_/")]["exec"]["kind"] == "python:3.10"


def test_a_promotion_follows_it(
    server: Server, opened: Open, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As deploy does it: each look takes the next step, and the alias moves with the end."""
    monkeypatch.setattr(following, "_LOOK", 0.05)
    target = opened()
    promotion = Promotion(shop.settings, "shift", "shift", target, shop.registry)
    first = shop.register()
    promotion.promote(first, shop.package(first), judged_against=None)
    second = shop.register()
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        assert {target.invoke("shift", {"x": 1.0})["prediction"] for _ in range(40)} == {2.0, 3.0}
        recorded(server)

    live = promotion.promote(
        second, shop.package(second), judged_against=first, rollout=PLAN, run="run", say=say
    )
    assert told == [
        "rollout under way: 50 % of requests, stage 1 of 2",
        "rollout under way: 80 % of requests, stage 2 of 2",
    ]
    assert live.version == second
    assert live.canary is not None
    assert live.canary.passed
    champion = shop.registry.champion("shift")
    assert champion is not None
    assert champion.version == second
    assert promotion.reconcile() is not None
    assert target.status("shift").differs == ()


# -- what is read ---------------------------------------------------------------------------------------------


class Pages(OpenWhisk):
    """A server with so many activations of each side, of which a list has the latest."""

    def __init__(self, **sides: list[int]) -> None:
        self._sides = sides

    def activations(self, path: str, most: int, since: int | None = None, upto: int | None = None) -> list[Activation]:  # fmt: skip
        assert since is not None
        assert upto is not None
        starts = self._sides["candidate" if "v2-" in path else "champion"]
        inside = sorted((each for each in starts if since <= each <= upto), reverse=True)
        return [Activation("", "", "success", {}, start=start) for start in inside[:most]]


def kept(**update: Any) -> Kept:
    """A rollout that has just begun."""
    now = datetime.now(UTC).isoformat()
    record = Record(revision="v2-000000000002", run="run", plan=PLAN, began=now, since=now)
    made = Kept(
        record=record, revision="v1-000000000001", since=now, champion=("a",), candidate=("b",), looked=now
    )
    return made.model_copy(update=update)


STARTS = st.lists(st.integers(0, 60), max_size=30)


@given(STARTS, STARTS, st.integers(-1, 60), st.integers(0, 60), st.integers(1, 10))
def test_both_sides_are_read_in_the_same_time(
    champion: list[int], candidate: list[int], begin: int, end: int, most: int
) -> None:
    """In order, none twice and at most so many of each: all of the time, or of its end what the busier side allows."""
    server = Pages(champion=champion, candidate=candidate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rolling, "READ", most)
        found = list(Rolling(server, "penstock", 60)._answers("shift", kept(), begin, end))
    inside = {
        mine: sorted(each for each in starts if begin < each <= end)
        for mine, starts in ((False, champion), (True, candidate))
    }
    firsts = [starts[-most] for starts in inside.values() if len(starts) >= most]
    first = max(firsts, default=-1)
    for mine, starts in inside.items():
        expected = sum(each >= first for each in starts[-most:])
        assert sum(one == mine for one, _ in found) == expected
    assert len(found) <= 2 * most


def test_what_an_activation_tells() -> None:
    """A refusal names what is wrong with a record; any other error is a failure; the score is an answer's own."""
    good = seen(Activation("", "", "success", {"prediction": 3.0}, duration=20))
    assert (good.failed, good.seconds, good.refused, good.score) == (False, 0.02, False, 3.0)
    refusal = {"error": {"message": "no", "faults": [{"field": "x"}]}}
    assert seen(Activation("", "", "application error", refusal)).refused
    for status, error in (
        ("action developer error", refusal),
        ("whisk internal error", {"error": "lost"}),
        ("application error", {"error": {"message": "busy", "faults": []}}),
        ("application error", {"error": "Sequence component does not exist."}),
        ("application error", None),
    ):
        assert seen(Activation("", "", status, error)).failed


def test_an_answer_is_on_record_after_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of as many components as the longer side has."""
    monkeypatch.undo()
    assert rolling.recorded_after(kept(), 60) == 90
    assert rolling.recorded_after(kept(candidate=("a", "b", "c")), 300) == 930


# -- the conductor itself -------------------------------------------------------------------------------------

JSON = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3)


PLANNED = {"share": 50, "champion": "/_/p/a", "candidate": "/_/p/b", "instead": "/_/p/c", "key": "__k"}


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The conductor's plan, which may be changed."""
    monkeypatch.setattr(deal, "PLAN", dict(PLANNED))
    return deal.PLAN


def conduct(args: dict[str, Any], answers: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Whom the conductor asks, in turns, and what it says in the end, where actions answer so."""
    asked = []
    said = deal.main(json.loads(json.dumps(args)))
    while "action" in said:
        asked.append(said["action"])
        assert said["params"] == args, "each gets the request as it came"
        said = deal.main({**answers[said["action"]], **said["state"]})
    return asked, said


def test_requests_are_dealt_by_the_share(planned: dict[str, Any]) -> None:
    """All, none, or about as many as it says."""
    answers = {name: {"by": name} for name in ("/_/p/a", "/_/p/b")}
    for share, least, most in ((0, 0, 0), (100, 1000, 1000), (30, 200, 400)):
        planned["share"] = share
        asked = Counter(conduct({}, answers)[0][0] for _ in range(1000))
        assert least <= asked["/_/p/b"] <= most


@given(JSON, JSON)
def test_an_answer_comes_through(args: dict[str, Any], answer: dict[str, Any]) -> None:
    """Whatever is in it, and in the request, of either side."""
    answer = {name: value for name, value in answer.items() if name != "error"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deal, "PLAN", PLANNED)
        asked, said = conduct(args, {"/_/p/a": answer, "/_/p/b": answer})
    assert said == {"params": answer}
    assert len(asked) == 1


@pytest.mark.parametrize("failure", ["it ended", {"message": "busy", "faults": []}, {"error": "x"}, None])
def test_the_champion_answers_what_the_candidate_failed(planned: dict[str, Any], failure: Any) -> None:
    """By another name, so that it is not counted as dealt to it; what that says is the answer, good or bad."""
    planned["share"] = 100
    for answer, expected in (({"a": 1}, {"params": {"a": 1}}), ({"error": "no"}, {"error": "no"})):
        asked, said = conduct({"x": 1}, {"/_/p/b": {"error": failure}, "/_/p/c": answer})
        assert (asked, said) == (["/_/p/b", "/_/p/c"], expected)


def test_what_is_not_asked_again(planned: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal, what the champion failed, and a request that is too large to be kept."""
    refusal = {"error": {"message": "no", "faults": [{"field": "x"}]}}
    planned["share"] = 100
    assert conduct({}, {"/_/p/b": refusal}) == (["/_/p/b"], refusal)
    monkeypatch.setattr(deal, "KEPT", 1)
    assert conduct({}, {"/_/p/b": {"error": "no"}}) == (["/_/p/b"], {"error": "no"})
    planned["share"] = 0
    assert conduct({}, {"/_/p/a": {"error": "no"}}) == (["/_/p/a"], {"error": "no"})
