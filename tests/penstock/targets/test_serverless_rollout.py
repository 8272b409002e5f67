"""A rollout on Knative and KServe: what each is told, step by step; the cases that are alike on plain Kubernetes are the very same.

The cluster and the platforms' controllers are in memory; tests/cluster has the objects on a real API server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.host.manifest import Manifest
from penstock.spec.rollout import Rollout
from penstock.targets import TargetError
from penstock.targets.kubernetes import manifests, settings
from penstock.targets.kubernetes.api import Api, Object
from penstock.targets.kubernetes.manifests import Shape
from penstock.targets.serverless import target as module
from penstock.targets.serverless.knative import Knative
from penstock.targets.serverless.kserve import KServe
from penstock.targets.serverless.platform import Platform
from penstock.targets.serverless.target import ServerlessTarget
from tests.penstock.targets import test_kubernetes_rollout as kubernetes
from tests.penstock.targets.serverless import SIZE, Serverless
from tests.penstock.targets.test_kubernetes_rollout import (  # noqa: F401 (cases, and a fixture)
    NEW,
    OLD,
    OTHER,
    PLAN,
    Stage,
    at_once,
    test_a_bad_one_goes_back_at_once,
    test_a_good_version_takes_over_step_by_step,
    test_a_person_steers_it,
    test_of_two_who_look_at_once_one_has_looked,
    test_one_at_a_time,
    test_one_that_was_taken_away_is_not_waited_for,
    test_what_cannot_begin_leaves_no_pods,
    test_who_is_killed_loses_nothing,
)

GIVEN = settings.Settings("functions", {"onnx": "f:1"}, "registry.example", None, None, Shape(0, 0))


class OnPlatform(Stage):
    """See `Stage`; here revisions are put as ever, but for their images."""

    cluster: Serverless
    target: Any

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.cluster = Serverless()
        self.target = ServerlessTarget(cast(Api, self.cluster), GIVEN, platform)
        self.target._gateway = SimpleNamespace(ask=self.cluster.health)
        for revision in (OLD, NEW, OTHER):
            self.put(revision)
        self.target.route("shift", OLD)
        self.put(NEW)

    def again(self) -> Stage:
        return OnPlatform(self.platform)

    def put(self, revision: str) -> None:
        self.target.put(Path(revision))

    def begin(self, plan: Rollout = PLAN, run: str = "r") -> None:
        """And have a first look see the pods that its share has started."""
        super().begin(plan, run)
        self.target.take_step("shift")

    def take_away(self, revision: str | None) -> None:
        if revision is None:
            self.cluster.delete(self.platform.kind, "shift")
        for each in self.revisions(revision) if revision else ():
            self.cluster.delete("KnativeRevision", each)

    def pods(self, revision: str) -> int:
        return len(self.cluster.find("Pod", manifests.of_revision("shift", revision)))

    def revisions(self, revision: str | None = None) -> list[str]:
        """Knative's, of one of ours or of all."""
        labels = manifests.of_revision("shift", revision) if revision else manifests.of_function("shift")
        return [each["metadata"]["name"] for each in self.cluster.find("KnativeRevision", labels)]

    @property
    def spec(self) -> Object:
        """What the platform is told."""
        return cast(Object, self.cluster.objects[self.platform.kind, "shift"]["spec"])


@pytest.fixture(autouse=True)
def without_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package is its revision's name, and its image is there."""

    def contents(package: Path) -> SimpleNamespace:
        version = package.name[1:].partition("-")[0]
        manifest = Manifest(format=1, name="shift", version=version, runtime="onnx", files={})
        return SimpleNamespace(manifest=manifest, revision=package.name)

    monkeypatch.setattr(module, "contents", contents)
    monkeypatch.setattr(module, "append", lambda found, *_: f"registry.example/fn:{found.revision}")


@pytest.fixture(params=[Knative(), KServe()], ids=["knative", "kserve"])
def stage(request: pytest.FixtureRequest) -> OnPlatform:
    return OnPlatform(request.param)


@pytest.fixture
def on_knative() -> OnPlatform:
    return OnPlatform(Knative())


@pytest.fixture
def on_kserve() -> OnPlatform:
    return OnPlatform(KServe())


def test_knative_is_told_of_two_revisions_by_their_names(on_knative: OnPlatform) -> None:
    """Each with its share and its tag, and of no other; all of it is one write."""

    def told() -> list[tuple[str, int, str]]:
        return [(each["revisionName"], each["percent"], each["tag"]) for each in on_knative.spec["traffic"]]

    (old,), (new,) = on_knative.revisions(OLD), on_knative.revisions(NEW)
    tags = [f"r{revision[-12:]}" for revision in (OLD, NEW)]
    on_knative.cluster.dies_after = 1
    on_knative.target.roll_out("shift", NEW, PLAN, "r")
    assert told() == [(old, 75, tags[0]), (new, 25, tags[1])]
    on_knative.cluster.dies_after = None
    on_knative.target.take_step("shift")
    on_knative.cluster.dies_after = 1
    on_knative.step()
    assert told() == [(old, 50, tags[0]), (new, 50, tags[1])]
    on_knative.cluster.dies_after = None
    on_knative.target.steer("shift", "abort")
    assert told() == [(old, 100, tags[0])]


def test_kserve_is_told_of_the_newest_ones_share(on_kserve: OnPlatform) -> None:
    """What had all before has the rest; going back takes the share, and makes no Revision anew."""

    def told() -> int:
        return int(on_kserve.spec["predictor"]["canaryTrafficPercent"])

    assert told() == 0
    on_kserve.begin()
    assert told() == 25
    on_kserve.step()
    assert told() == 50
    on_kserve.target.steer("shift", "abort")
    assert told() == 0
    assert on_kserve.spec["predictor"]["labels"]["penstock/revision"] == NEW[-12:]


def test_of_two_who_have_the_share_follow_what_was_written_last_holds(on_kserve: OnPlatform) -> None:
    """Though one ends the rollout just before the other gives it its first share, and so has no share to take."""
    cluster = on_kserve.cluster

    def then() -> None:
        cluster.meanwhile = lambda: on_kserve.target.steer("shift", "abort")

    cluster.meanwhile = then
    on_kserve.target.roll_out("shift", NEW, PLAN, "r")
    assert cluster.meanwhile is None
    assert on_kserve.target.status("shift").rollout.state == "aborted"
    assert on_kserve.shares() == {OLD: 1000}


def test_looks_make_no_revisions(stage: OnPlatform) -> None:
    """What is kept of a rollout stands where no Revision is made of it."""
    before = stage.revisions()
    stage.to_the_end()
    assert stage.revisions() == before


def test_who_is_live_is_told_though_the_platform_is_behind(stage: OnPlatform) -> None:
    """The champion until the end, the new one from then on, and since when."""
    stage.begin()
    told = stage.target.status("shift")
    assert told.live == OLD
    assert {each.revision: each.state for each in told.revisions}.items() >= {
        OLD: "ready",
        NEW: "ready",
    }.items()
    assert stage.target.serving("shift") == OLD, "it answers in turn"
    stage.cluster.behind = ("InferenceService", "KnativeService")
    promoted = stage.target.steer("shift", "promote")
    assert promoted.live == NEW
    assert promoted.since > told.since
    stage.cluster.catch_up()
    assert stage.shares() == {NEW: 1000}
    assert stage.target.status("shift").live == NEW


def test_what_the_platform_said_before_is_not_believed(
    stage: OnPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That all requests go to the live one, while Knative may be about to share them: the end is when it is done."""
    stage.cluster.behind = ("KnativeService",)
    stage.begin()
    stage.target.steer("shift", "abort")

    def two_looks(_: float) -> Iterator[None]:
        yield
        stage.cluster.catch_up()
        yield

    monkeypatch.setattr(module, "polls", two_looks)
    stage.target.route("shift", OLD)
    assert not stage.cluster.behind


def test_kserve_has_said_it_too_once_a_function_was_routed(
    on_kserve: OnPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says of its traffic later than Knative what that does, and a rollout may begin at once."""
    cluster = on_kserve.cluster
    cluster.objects["InferenceService", "shift"]["status"]["components"]["predictor"]["traffic"] = []

    def two_looks(_: float) -> Iterator[None]:
        yield
        cluster.catch_up()
        yield

    monkeypatch.setattr(module, "polls", two_looks)
    on_kserve.target.route("shift", OLD)
    on_kserve.begin()


def test_pods_may_be_none(stage: OnPlatform) -> None:
    """Of either side, at a look, and gone with what they had counted: what was not seen is lost, and nothing is judged by it."""
    stage.cluster.answers[NEW] = stage.cluster.answers[OLD] = lambda: (500, 0.003)
    stage.begin()
    for _ in range(3):
        stage.cluster.request(400)
        for revision in (OLD, NEW):
            stage.cluster.scale(revision, 0)
        told = stage.step(0)
        assert (told.state, told.stage) == ("under way", 1)
    stage.cluster.request(20)
    stage.step(0)
    told = stage.step(400)
    assert told.stage == 2
    stage.cluster.scale(NEW, 0)
    while not (told := stage.step()).over:
        assert told.state == "under way"
    assert told.state == "promoted"


def test_one_whose_pods_cannot_run_is_worse(stage: OnPlatform) -> None:
    """Nobody would ask it, and its rollout would never end; where one of its pods answers, it can run."""
    stage.begin()
    (new,) = stage.revisions(NEW)[-1:]
    condition = {"type": "Ready", "status": "False", "message": "exceeded quota"}
    stage.cluster.objects["KnativeRevision", new]["status"] = {"conditions": [condition]}
    assert stage.step(0).state == "under way"
    stage.cluster.scale(NEW, 0)
    with pytest.raises(TargetError, match="cannot take all requests: its pods do not run: exceeded quota"):
        stage.target.steer("shift", "promote")
    told = stage.step(0)
    assert (told.state, told.reason) == ("worse", "its pods do not run: exceeded quota")
    assert stage.shares() == {OLD: 1000}


def test_a_function_that_was_taken_away_is_not_there(stage: OnPlatform) -> None:
    """Its rollout went with it."""
    stage.begin()
    stage.take_away(None)
    with pytest.raises(TargetError, match="no function shift") as caught:
        stage.target.take_step("shift")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"shadow": 10}, "nobody copies requests: take shadow out"),
        ({"sticky": "X-Customer"}, "knows no callers: take sticky out"),
        ({"losses": 2}, "labels come to the function host alone: take losses out"),
    ],
)
def test_a_plan_that_cannot_be_had_is_refused(stage: OnPlatform, change: dict[str, Any], why: str) -> None:
    """With what to change, before any request is dealt."""
    with pytest.raises(TargetError, match=f"cannot be had on {stage.platform.title}: .*{why}") as caught:
        stage.begin(PLAN.model_copy(update=change))
    assert caught.value.status == 422
    assert stage.shares() == {OLD: 1000}


def test_one_begins_beside_what_has_all_requests(on_knative: OnPlatform) -> None:
    """Where somebody has sent them elsewhere by hand, nothing could be compared with the live one."""
    (entry,) = (each for each in on_knative.spec["traffic"] if each["percent"])
    (entry["revisionName"],) = on_knative.revisions(OTHER)
    on_knative.cluster.catch_up()
    with pytest.raises(TargetError, match=f"sends requests of shift elsewhere than to {OLD}") as caught:
        on_knative.begin()
    assert caught.value.status == 409


def test_knative_has_room_for_others(on_knative: OnPlatform) -> None:
    """Which may be put, and routed to, as on Kubernetes."""
    kubernetes.test_the_live_name_is_moved_meanwhile(on_knative)


def test_kserve_has_room_for_one(on_kserve: OnPlatform) -> None:
    """Another is refused while it is rolled out; what is in course can be put again, and the new one routed to."""
    on_kserve.begin()
    with pytest.raises(TargetError, match="has no room beside the rollout that is under way") as caught:
        on_kserve.put(OTHER)
    assert caught.value.status == 409
    before = on_kserve.spec
    for revision in (OLD, NEW):
        on_kserve.put(revision)
    on_kserve.target.route("shift", OLD)
    assert on_kserve.spec == before
    on_kserve.target.route("shift", NEW)
    assert on_kserve.step(0).state == "promoted"
    assert on_kserve.shares() == {NEW: 1000}


def test_kserve_shares_with_what_it_holds(on_kserve: OnPlatform) -> None:
    """One that another was put after cannot begin; one that somebody replaced by hand is not waited for."""
    on_kserve.put(OTHER)
    with pytest.raises(TargetError, match=f"{NEW} of shift cannot be rolled out: another one took its place"):
        on_kserve.begin()
    on_kserve.put(NEW)
    on_kserve.begin()
    held = on_kserve.cluster.objects["InferenceService", "shift"]["spec"]["predictor"]
    held["labels"] = {**held["labels"], manifests.SHORT: "of-nobody"}
    told = on_kserve.step(0)
    assert (told.state, told.reason) == ("aborted", "another one took its place in the InferenceService")
    assert on_kserve.shares() == {OLD: 1000}


def test_versions_follow_each_other(stage: OnPlatform) -> None:
    """There, there again and back: each rollout is beside what the one before it left."""
    live = OLD
    for number, revision in enumerate((NEW, OTHER, OLD, NEW)):
        stage.put(revision)
        assert stage.shares() == {live: 1000}
        stage.target.roll_out("shift", revision, PLAN, str(number))
        assert stage.shares().keys() == {live, revision}
        while not stage.step().over:
            pass
        live = revision
        stage.target.route("shift", live)
        assert stage.shares() == {live: 1000}
        assert stage.pods(live) == SIZE


def test_shares_that_somebody_changed_are_lost(stage: OnPlatform) -> None:
    """By hand, or as who deployed was killed before the function's object followed: that is told, and routing again mends it."""
    assert stage.target.status("shift").lost == ()
    spec: Any = stage.spec
    if stage.platform.title == "Knative":
        [new] = stage.revisions(NEW)
        spec["traffic"] = [{"revisionName": new, "latestRevision": False, "percent": 100}]
    else:
        spec["predictor"]["canaryTrafficPercent"] = 100
    [lost] = stage.target.status("shift").lost
    assert lost.endswith(f"is told other shares of the traffic than all of it to {OLD}")
    stage.target.route("shift", OLD)
    assert stage.target.status("shift").lost == ()
    stage.begin()
    assert stage.target.status("shift").lost == ()


def test_a_champion_that_is_gone_is_put_again(on_knative: OnPlatform) -> None:
    """Its Knative Revision taken away by hand while another is rolled out: nothing serves, and putting it makes it anew, by its name."""
    on_knative.begin()
    on_knative.take_away(OLD)
    assert on_knative.target.status("shift").serving is None
    on_knative.put(OLD)
    on_knative.target.route("shift", OLD)
    assert on_knative.target.status("shift").serving is not None
    assert on_knative.shares().keys() == {OLD, NEW}


def test_kserve_cannot_have_its_champion_back_beside_a_rollout(on_kserve: OnPlatform) -> None:
    """It holds one beside: what to do is told."""
    on_kserve.begin()
    on_kserve.take_away(OLD)
    with pytest.raises(TargetError, match="no room beside the rollout") as caught:
        on_kserve.put(OLD)
    assert "promote where what serves is gone" in str(caught.value.next_step)


def test_an_image_that_somebody_changed_is_put_again(on_kserve: OnPlatform) -> None:
    """Labels tell what a predictor is, and whoever edits it leaves them as they are."""
    spec: Any = on_kserve.spec
    spec["predictor"]["containers"][0]["image"] = "other.example/evil:1"
    on_kserve.put(NEW)
    spec = on_kserve.spec
    assert spec["predictor"]["containers"][0]["image"] == f"registry.example/fn:{NEW}"


def test_a_function_without_a_url_yet_has_a_status(on_kserve: OnPlatform) -> None:
    """Who was killed as it was made is followed by another, who must see what is there."""
    status: Any = on_kserve.cluster.objects["InferenceService", "shift"]["status"]
    del status["url"]
    assert on_kserve.target.status("shift").url == ""
