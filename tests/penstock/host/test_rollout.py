"""A new revision takes traffic step by step, beside the one that serves, and goes back by itself where it is worse."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from penstock.host.manifest import REVISION_HEADER
from tests.penstock.conftest import MakeFunction
from tests.penstock.host.harness import RunningHost, until
from tests.penstock.rolling import BREAKS, FAR, breaking_package

PAGE = Path(__file__).parents[3] / "docs/rollout.md"
#: A step that refuses what another breaks at.
REFUSES = BREAKS.replace("RuntimeError", "ValueError")
# Version 2 answers 1 more than version 1: their scores are as far apart as can be.
SOON = {"steps": [20, 60], "requests": 40, "minutes": 0, "scores": 1}
NEVER = {"steps": [50], "requests": 10**9, "scores": 1}


def roll_out(host: RunningHost, revision: str, plan: object, run: str = "run") -> httpx.Response:
    return host.client.put("/functions/shift/rollout", json={"revision": revision, "plan": plan, "run": run})


def steer(host: RunningHost, action: str) -> httpx.Response:
    return host.client.post(f"/functions/shift/rollout/{action}")


def rollout(host: RunningHost) -> dict[str, Any]:
    return dict(host.status()["rollout"])


@pytest.fixture
def both(host: RunningHost, make_function: MakeFunction) -> tuple[str, str]:
    """Version 1 serves; version 2 is there. Their revisions."""
    first = host.deploy(make_function(1))
    return first, str(host.put(make_function(2)).json()["revision"])


def asked(host: RunningHost, times: int, x: float = 1.0, key: str | None = None) -> Counter[str]:
    """By which revisions so many requests were answered; each must be, and as that revision answers."""
    seen: Counter[str] = Counter()
    for _ in range(times):
        answer = host.client.post(
            "/functions/shift/predict", json={"x": x}, headers={"X-Caller": key} if key else {}
        )
        assert answer.status_code == 200, answer.text
        revision = answer.headers[REVISION_HEADER]
        assert answer.json()["prediction"] == x + int(revision[1])
        seen[revision] += 1
    return seen


def test_a_good_version_takes_over(host: RunningHost, both: tuple[str, str]) -> None:
    """Dealt its share, it is no worse, and has all the traffic after its last step; the old process ends, the outcome stays."""
    first, second = both
    begun = roll_out(host, second, SOON)
    assert begun.status_code == 200, begun.text
    assert begun.json()["rollout"]["share"] == 20
    seen: Counter[str] = Counter()
    until(lambda: seen.update(asked(host, 20)) or rollout(host)["share"] == 60, "the first step ends", 60)
    assert seen[first] > seen[second] > 0
    assert host.status()["live"] == first
    until(lambda: asked(host, 20) and rollout(host)["state"] == "promoted", "the last step ends", 60)
    assert host.status()["live"] == second
    assert rollout(host)["reason"] == "it was no worse than tolerated at any step"
    assert asked(host, 10) == {second: 10}
    until(lambda: len(host.runtimes()) == 1, "only the new process is left")


def test_a_bad_version_goes_back_and_no_caller_sees_it(
    host: RunningHost, make_function: MakeFunction
) -> None:
    """What it fails to answer the one that serves answers; it loses its traffic within seconds, and the reason stays."""
    first = host.deploy(make_function(1))
    bad = host.put(breaking_package(make_function, 2)).json()["revision"]
    assert roll_out(host, bad, NEVER).status_code == 200
    until(lambda: asked(host, 20, FAR) and rollout(host)["state"] == "worse", "it is taken back", 60)
    assert host.status()["live"] == first
    reason = rollout(host)["reason"]
    assert reason.startswith("errors: "), reason
    assert "of the champion's 0 of " in reason
    assert asked(host, 20) == {first: 20}
    until(lambda: host.states() == {first: "ready", bad: "stopped"}, "its process ends")
    host.kill()
    host.start()
    assert rollout(host)["reason"] == reason
    assert asked(host, 5) == {first: 5}


def test_other_scores_are_worse(host: RunningHost, both: tuple[str, str]) -> None:
    """A version whose answers moved further than is tolerated goes back, though it fails nowhere."""
    roll_out(host, both[1], {**NEVER, "scores": 0.1})
    until(lambda: asked(host, 100) and rollout(host)["state"] == "worse", "it is taken back", 120)
    assert rollout(host)["reason"].startswith("scores: the distributions are 0."), rollout(host)


def test_a_killed_host_goes_on_where_it_was(host: RunningHost, both: tuple[str, str]) -> None:
    """At the second step it is killed: the next host is at that step, deals out again, and lets it take over."""
    first, second = both
    roll_out(host, second, {**SOON, "requests": 20})
    until(lambda: asked(host, 20) and rollout(host)["stage"] == 2, "the first step ends", 60)
    steer(host, "pause")
    before = rollout(host)
    host.kill()
    host.start()
    after = rollout(host)
    assert {**after, "candidate": None, "champion": None} == {**before, "candidate": None, "champion": None}
    assert after["state"] == "paused"
    until(lambda: set(asked(host, 10)) == {first, second}, "both answer again", 60)
    steer(host, "resume")
    until(lambda: asked(host, 20) and rollout(host)["state"] == "promoted", "it takes over", 60)


def test_who_is_asked_what(host: RunningHost, both: tuple[str, str]) -> None:
    """By the named header's value the same one answers each time. Only predictions are dealt out: by the open protocol, too, but
    for a version that is named.
    """
    roll_out(host, both[1], {**NEVER, "sticky": "X-Caller"})
    by_caller = [asked(host, 4, key=f"caller-{i}") for i in range(24)]
    assert all(len(seen) == 1 for seen in by_caller)
    assert {revision for seen in by_caller for revision in seen} == set(both)
    tensor = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}]}

    def by(method: str, path: str, body: object = None) -> str:
        answer = host.client.request(method, f"/functions/shift/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.headers[REVISION_HEADER])

    for path in ("health", "openapi.json", "v2/models/shift"):
        assert {by("GET", path) for _ in range(5)} == {both[0]}
    assert {by("POST", "v2/models/shift/versions/1/infer", tensor) for _ in range(5)} == {both[0]}
    assert both[1] in {by("POST", "v2/models/shift/infer", tensor) for _ in range(20)}


def test_the_shadow_is_seen_by_nobody(host: RunningHost, both: tuple[str, str]) -> None:
    """While it is in the shadow all answers are the live one's, and it answers as many; then it gets its share."""
    first, second = both
    roll_out(host, second, {**NEVER, "shadow": 30, "minutes": 0})
    seen: Counter[str] = Counter()
    while rollout(host)["share"] == 0:
        assert rollout(host)["candidate"]["requests"] <= seen.total()
        seen.update(asked(host, 1))
    assert seen.total() >= 30
    assert rollout(host)["share"] == 50
    # The stage may have ended during the last request.
    assert seen[first] >= seen.total() - 1
    until(lambda: second in asked(host, 5), "it has its share")


def test_what_differs_in_the_shadow_never_gets_out_of_it(
    host: RunningHost, make_function: MakeFunction
) -> None:
    """A version that refuses what the live one answers is known as worse before anybody was answered by it."""
    first = host.deploy(make_function(1))
    bad = host.put(breaking_package(make_function, 2, REFUSES)).json()["revision"]
    roll_out(host, bad, {**NEVER, "shadow": 10**6})
    seen: Counter[str] = Counter()
    until(lambda: seen.update(asked(host, 10, FAR)) or rollout(host)["state"] == "worse", "it is seen", 60)
    assert set(seen) == {first}


def test_a_person_steers(host: RunningHost, both: tuple[str, str]) -> None:
    """Aborted, the old one has all traffic; begun anew and promoted, the new one; each at once, and with the reason."""
    first, second = both
    roll_out(host, second, NEVER, "one")
    assert steer(host, "abort").json()["rollout"]["state"] == "aborted"
    assert asked(host, 10) == {first: 10}
    assert roll_out(host, second, NEVER, "one").json()["rollout"]["state"] == "aborted", (
        "by the same run: as it ended"
    )
    assert roll_out(host, second, NEVER, "two").json()["rollout"]["state"] == "under way"
    promoted = steer(host, "promote").json()
    assert (promoted["live"], promoted["rollout"]["state"], promoted["rollout"]["reason"]) == (
        second,
        "promoted",
        "by a person",
    )
    assert asked(host, 10) == {second: 10}
    for action in ("pause", "resume", "promote", "abort"):
        assert steer(host, action).status_code == 409


def test_moving_the_live_name_ends_a_rollout(
    host: RunningHost, both: tuple[str, str], make_function: MakeFunction
) -> None:
    """To a third revision: aborted; to the one that is rolled out: promoted; to the live one: it goes on."""
    first, second = both
    third = host.put(make_function(3)).json()["revision"]
    roll_out(host, second, NEVER, "one")
    host.route(first)
    assert rollout(host)["state"] == "under way"
    host.route(third)
    assert (rollout(host)["state"], rollout(host)["reason"]) == (
        "aborted",
        f"the live name was moved to {third}",
    )
    assert asked(host, 5) == {third: 5}
    roll_out(host, second, NEVER, "two")
    host.route(second)
    assert (rollout(host)["state"], host.status()["live"]) == ("promoted", second)
    until(lambda: len(host.runtimes()) == 1, "only the live process is left")


def test_what_cannot_be_rolled_out_changes_nothing(host: RunningHost, make_function: MakeFunction) -> None:
    """Nothing live, no such revision, the live one, another under way, a wrong plan, no token: each says why."""
    first = host.put(make_function(1)).json()["revision"]
    assert "no live revision" in roll_out(host, first, NEVER).json()["error"]
    host.route(first)
    assert "is the live revision" in roll_out(host, first, NEVER).json()["error"]
    assert roll_out(host, "v9-0123456789ab", NEVER).status_code == 404
    second, third = (host.put(make_function(version)).json()["revision"] for version in (2, 3))
    for plan, why in (({"steps": [50, 25]}, "must rise"), ({"errors": 0.5}, "plan.errors")):
        refused = roll_out(host, second, plan)
        assert (refused.status_code, why in refused.json()["error"]) == (422, True), refused.text
    assert rollout_is_none(host)
    roll_out(host, second, NEVER)
    other = roll_out(host, third, NEVER, "another")
    assert other.status_code == 409
    assert f"{second} of shift is being rolled out" in other.json()["error"]
    assert host.client.delete(f"/functions/shift/revisions/{second}").status_code == 409
    with httpx.Client(base_url=host.client.base_url, trust_env=False) as stranger:
        for method, path in (("PUT", "rollout"), ("POST", "rollout/abort")):
            assert stranger.request(method, f"/functions/shift/{path}").status_code == 401
    assert rollout(host)["state"] == "under way"


def rollout_is_none(host: RunningHost) -> bool:
    return host.status()["rollout"] is None


def tell(host: RunningHost, labels: object) -> httpx.Response:
    return host.client.post("/functions/shift/labels", json={"labels": labels})


def test_a_version_that_is_more_often_wrong_goes_back(host: RunningHost, both: tuple[str, str]) -> None:
    """By what callers tell later of their requests, by the ids that their answers had; each label counts once."""
    first, second = both
    roll_out(host, second, NEVER)

    def told() -> dict[str, float]:
        """Of 50 more requests: version 1 is right but for a tenth, version 2 answers 1 more."""
        answers = (host.client.post("/functions/shift/predict", json={"x": float(x)}) for x in range(50))
        return {answer.headers["x-request-id"]: x + 1.1 for x, answer in enumerate(answers)}

    labels = told()
    assert tell(host, labels).json() == {"taken": 50, "again": 0, "unknown": 0}
    assert tell(host, labels).json() == {"taken": 0, "again": 50, "unknown": 0}
    assert sum(rollout(host)[side]["labels"] for side in ("candidate", "champion")) == 50
    until(lambda: tell(host, told()) and rollout(host)["state"] == "worse", "it is taken back", 120)
    why = r"losses: 0\.22 in the mean by \d+ labels, each up to 0\.22, of the champion 0\.1 by "
    assert re.match(why, rollout(host)["reason"])
    assert asked(host, 5) == {first: 5}
    assert tell(host, labels).json()["unknown"] == 50


def test_labels_that_are_none(host: RunningHost, both: tuple[str, str]) -> None:
    """Each is refused with what is wrong, and nothing of its call is taken; without a rollout no request is known, and of an id that
    is used twice the first one is meant.
    """
    path = "/functions/shift/labels"
    assert tell(host, {"a": 1.0, "b": "late"}).json() == {"taken": 0, "again": 0, "unknown": 2}
    roll_out(host, both[1], NEVER)
    for name in ("mine", "mine", "other", "order-1234"):
        headers = {"X-Request-Id": name}
        answer = host.client.post("/functions/shift/predict", json={"x": 1.0}, headers=headers)
        assert answer.headers["x-request-id"] == name
    for content, why in (
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ('{"labels": {}, "more": 1}', "more: Extra inputs"),
        ('{"labels": [1]}', "labels: Input should be an object"),
        ('{"labels": {"mine": null}}', "labels.mine: Value error, expected a number, a text, true or false"),
        ('{"labels": {"mine": NaN}}', "labels.mine: Value error, expected a number"),
        ('{"labels": {"mine": 1, "other": "late"}}', "the label of 'other' is 'late', expected a number"),
        (f'{{"labels": {{"mine": 1{"0" * 400}}}}}', "expected a number"),
    ):
        refused = host.client.post(path, content=content)
        assert (refused.status_code, why in refused.json()["error"]) == (422, True), refused.text
    many = tell(host, dict.fromkeys(map(str, range(1001)), 1))
    assert (many.status_code, many.json()["next_step"]) == (413, "send them in parts")
    assert host.client.post(path, content=b" " * (2**20 + 1)).status_code == 413
    assert host.client.post("/functions/other/labels", json={"labels": {}}).status_code == 404
    with httpx.Client(base_url=host.client.base_url, trust_env=False) as stranger:
        assert stranger.post(path, json={"labels": {}}).status_code == 401
    assert tell(host, {"mine": 2.5, "never": 2.5}).json() == {"taken": 1, "again": 0, "unknown": 1}
    # As docs/rollout.md has it.
    (shell,) = (
        block
        for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.M)
        if "curl" in block
    )
    url = str(host.client.base_url).rstrip("/")
    for shown, here in (("http://127.0.0.1:8793", url), ("DIR", str(host.state)), ("flight_delays", "shift")):
        shell = shell.replace(shown, here)
    said = subprocess.run(["bash", "-c", shell], capture_output=True, check=True)
    assert json.loads(said.stdout) == {"taken": 1, "again": 0, "unknown": 1}


def test_no_request_is_lost_on_the_way_there_and_back(host: RunningHost, make_function: MakeFunction) -> None:
    """Under constant load a good version takes over and a bad one goes back: every answer is a 200, and right.

    `python -m bench.rollout` does it with 50 000 requests.
    """
    host.deploy(make_function(1))
    good = host.put(make_function(2)).json()["revision"]
    bad = host.put(breaking_package(make_function, 3)).json()["revision"]
    wrong: list[str] = []
    answered = Counter[str]()

    async def load(done: asyncio.Event) -> None:
        async with httpx.AsyncClient(base_url=host.client.base_url, trust_env=False, timeout=30) as client:
            while not done.is_set():
                answer = await client.post("/functions/shift/predict", json={"x": FAR})
                revision = answer.headers.get(REVISION_HEADER, "")
                answered[revision] += 1
                if answer.status_code != 200 or json.loads(answer.content)["prediction"] != FAR + int(
                    revision[1]
                ):
                    wrong.append(answer.text)

    async def there_and_back() -> None:
        done = asyncio.Event()
        callers = [asyncio.create_task(load(done)) for _ in range(4)]
        for revision, state in ((good, "promoted"), (bad, "worse")):
            begun = await asyncio.to_thread(roll_out, host, revision, SOON, revision)
            assert begun.status_code == 200, begun.text
            while rollout(host)["state"] == "under way":
                await asyncio.sleep(0.2)
            assert rollout(host)["state"] == state, rollout(host)
        before = answered.total()
        while answered.total() < before + 50:
            await asyncio.sleep(0.05)
        done.set()
        await asyncio.gather(*callers)

    asyncio.run(there_and_back())
    assert wrong == []
    assert answered.total() > 300
    assert bad not in answered
