"""The steps of a function as actions of their own in OpenWhisk's sequence, shared by the functions of a package."""

from __future__ import annotations

import base64
import zipfile
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from penstock.targets import TargetError
from penstock.targets.openwhisk.target import OpenWhiskTarget
from tests.openwhisk import Server
from tests.penstock.targets.conftest import IMAGE, Open, Packages


@pytest.fixture
def target(opened: Open) -> OpenWhiskTarget:
    """That of a function with nothing but defaults."""
    return opened()


def components(server: Server, name: str = "shift") -> list[str]:
    """The names of a live name's actions, without what tells their content."""
    found = server.actions[f"penstock/{name}"]["exec"]["components"]
    return [each.removeprefix("/_/penstock/").rpartition(".")[0] for each in found]


def deploy(target: OpenWhiskTarget, package: Path) -> str:
    """All that deploying asks of a target; the revision."""
    revision = target.put(package)
    target.route("shift", revision)
    target.attach("shift")
    return revision


def test_each_step_is_an_action_and_the_live_name_their_sequence(
    server: Server, target: OpenWhiskTarget, packages: Packages
) -> None:
    """A step's action holds its own file and the manifest that vouches for it; all run the one image."""
    revision = target.put(packages["first"])
    target.route("shift", revision)
    assert components(server) == ["raw", f"shift-{revision}", "band"]
    assert len(server.actions) == 4, "nothing is left of the proof"
    step = next(action for path, action in server.actions.items() if path.startswith("penstock/raw."))
    with zipfile.ZipFile(BytesIO(base64.b64decode(step["exec"]["code"]))) as archive:
        assert archive.namelist() == ["function.json", "steps/raw/step.py"]
    assert (step["exec"]["image"], step["exec"]["main"]) == (IMAGE, "steps/raw")
    assert {"key": "provide-api-key", "value": False} in step["annotations"]


def test_a_sequence_answers(target: OpenWhiskTarget, packages: Packages) -> None:
    """One record and many, by what the steps make of them."""
    target.route("shift", target.put(packages["first"]))
    answer = {"prediction": 3.0, "band": "low of 2"}
    assert target.invoke("shift", {"raw": "2"}) == {"name": "shift", "version": "1", **answer}
    many = target.invoke("shift", [{"raw": "2"}, {"raw": "6"}])["predictions"]
    assert many == [answer, {"prediction": 7.0, "band": "high of 6"}]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"raw": "far"}, r"application error.*the step raw refuses: could not convert string to float"),
        ({"raw": "-9"}, r"application error.*the step band refuses: nothing is below zero"),
        ({"raw": "none"}, r"action developer error.*the step raw failed: KeyError"),
        ({"raw": 1}, r"application error.*'raw': found 1, expected a string"),
        ({"raw": "1", "x": 1.0}, r"application error.*'x': found an unknown field"),
    ],
)
def test_what_ends_a_sequence_is_told_as_in_one_process(
    opened: Open, packages: Packages, record: dict[str, Any], said: str
) -> None:
    """The same words and status, whether the step is an action or not."""
    told = []
    for declared in ("sequence", "process"):
        target = opened(chain=declared)
        target.route("shift", target.put(packages["first"]))
        with pytest.raises(TargetError, match=said) as caught:
            target.invoke("shift", record)
        message = str(caught.value)
        told.append((message.partition("(activation ")[0], message.partition("): ")[2], caught.value.status))
    assert told[0] == told[1]


def test_what_serves_is_seen_among_the_components(target: OpenWhiskTarget, packages: Packages) -> None:
    """The live name moves between versions as ever."""
    first, second = (target.put(packages[name]) for name in ("first", "second"))
    for revision, answer in ((first, 3.0), (second, 4.0), (first, 3.0)):
        target.route("shift", revision)
        assert target.serving("shift") == revision
        assert target.status("shift").live == revision
        assert target.status("shift").differs == ()
        assert target.invoke("shift", {"raw": "2"})["prediction"] == answer
    assert {each.revision for each in target.status("shift").revisions} == {first, second}


def test_a_step_is_shared_and_goes_with_the_last_function_that_has_it(
    server: Server, target: OpenWhiskTarget, packages: Packages
) -> None:
    """It is made once, and is never made anew, which would start its containers again."""
    target.route("shift", target.put(packages["first"]))
    step = next(path for path in server.actions if path.startswith("penstock/raw."))
    target.put(packages["second"])
    target.route("other", target.put(packages["other"]))
    assert server.actions[step]["version"] == "0.0.1"
    target.remove("shift")
    assert target.invoke("other", {"raw": "2"})["prediction"] == 5.0
    target.remove("other")
    assert not server.actions


def test_another_image_makes_other_actions(server: Server, opened: Open, packages: Packages) -> None:
    """The libraries of steps come from the image; what serves runs on the old one until the live name moves."""
    old = opened()
    old.route("shift", old.put(packages["first"]))
    before = dict(server.actions)
    new = opened("registry.example/function:2")
    [differs] = new.status("shift").differs
    assert "PENSTOCK_OPENWHISK_IMAGE" in differs
    revision = new.put(packages["first"])
    assert {path: server.actions[path] for path in before} == before
    new.route("shift", revision)
    assert new.status("shift").differs == ()
    assert [each.revision for each in new.status("shift").revisions] == [revision]
    new.put(packages["first"])
    assert len(server.actions) == 4, "what ran on the old image is gone, its steps too"
    assert new.serving("shift") == revision


def test_one_process_is_a_word_in_the_spec(server: Server, opened: Open, packages: Packages) -> None:
    """The whole function is then one action, and changing the word is told as a difference that deploying mends."""
    target = opened(chain="process")
    revision = target.put(packages["first"])
    target.route("shift", revision)
    assert components(server) == [f"shift-{revision}"]
    assert not any(path.startswith("penstock/raw.") for path in server.actions)
    assert target.invoke("shift", {"raw": "6"})["band"] == "high of 6"
    assert target.status("shift").differs == ()
    other = opened()
    [differs] = other.status("shift").differs
    assert "function.chain" in differs
    other.route("shift", other.put(packages["first"]))
    assert components(server) == ["raw", f"shift-{revision}", "band"]
    assert other.status("shift").differs == ()


def test_a_sequence_that_answers_otherwise_than_one_process_is_refused(
    server: Server, target: OpenWhiskTarget, packages: Packages
) -> None:
    """Requests like the samples go through all of it before the live name moves; nothing of it stays."""
    first = target.put(packages["first"])
    target.route("shift", first)
    before = dict(server.actions)
    with pytest.raises(TargetError, match=r"the sequence answers .*process.*expected as in one process"):
        target.put(packages["fickle"])
    assert server.actions == before
    assert target.serving("shift") == first


def test_a_runtime_that_knows_no_sequences_is_told(
    server: Server, target: OpenWhiskTarget, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older image takes each action for a whole function."""
    container = server._container
    monkeypatch.setattr(server, "_container", lambda executed: container({**executed, "main": "main"}))
    with pytest.raises(TargetError, match=r"did not prove itself.*__penstock") as caught:
        target.put(packages["first"])
    assert "image of this release" in str(caught.value.next_step)
    assert not server.actions


def test_a_step_that_is_gone_is_told_and_comes_back(
    server: Server, target: OpenWhiskTarget, packages: Packages
) -> None:
    """Deleted by hand."""
    revision = target.put(packages["first"])
    del server.actions[next(path for path in server.actions if path.startswith("penstock/band."))]
    with pytest.raises(TargetError, match=r"lacks band\.[0-9a-f]{12} on OpenWhisk") as caught:
        target.route("shift", revision)
    assert caught.value.status == 404
    target.route("shift", target.put(packages["first"]))
    assert target.invoke("shift", {"raw": "2"})["band"] == "low of 2"


def test_logs_are_those_of_the_function(server: Server, target: OpenWhiskTarget, packages: Packages) -> None:
    """What a step printed for another function is not among them."""
    for name, package in (("shift", "first"), ("other", "other")):
        target.route(name, target.put(packages[package]))
    target.invoke("shift", {"raw": "41"})
    target.invoke("other", {"raw": "42"})
    for name in ("shift", "other"):
        target.serving(name)  # waits for the records
    printed = "".join(target.logs("shift"))
    assert '{"seen": "41"}' in printed
    assert '{"seen": "42"}' not in printed
    assert '{"seen": "42"}' in "".join(target.logs("other"))


def test_a_deploy_that_is_cut_anywhere_is_finished_by_the_next(
    server: Server, opened: Open, packages: Packages
) -> None:
    """After each request that it makes in turn: what served serves on until the live name moves, and then the new one does."""
    nightly = {"cron": "0 3 * * *", "payload": {"raw": "2"}}
    before = opened()
    before.route("shift", before.put(packages["first"]))
    packaged, serving = deepcopy((server.packages, server.actions))
    done, after = False, 0
    while not done:
        server.clear()
        server.packages.update(deepcopy(packaged))
        server.actions.update(deepcopy(serving))
        target = opened(web=True, triggers={"nightly": nightly})
        after += 1
        server.requests_left = after
        try:
            deploy(target, packages["second"])
            done = server.requests_left > 0
        except TargetError:
            pass
        server.requests_left = None
        assert target.invoke("shift", {"raw": "2"})["prediction"] in (3.0, 4.0)
        second = deploy(target, packages["second"])
        status = target.status("shift")
        assert status.live == second
        assert status.differs == ()
        assert target.invoke("shift", {"raw": "2"})["prediction"] == 4.0
        assert len(server.actions) == 5, "the live name, two revisions, two steps"
    assert after > 15
