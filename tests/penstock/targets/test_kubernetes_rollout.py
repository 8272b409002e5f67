"""A rollout on a cluster: the objects that split traffic, step by step, and who takes the steps.

The cluster is one in memory; tests/cluster has the same on a real one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rollout.record import RolloutStatus
from penstock.spec.rollout import Rollout
from penstock.targets import TargetError
from penstock.targets.kubernetes import manifests, rolling, rollouts, settings
from penstock.targets.kubernetes import target as module
from penstock.targets.kubernetes.api import Api, UnknownKind
from penstock.targets.kubernetes.deployments import replicas
from penstock.targets.kubernetes.manifests import Revision, Shape
from penstock.targets.kubernetes.target import KubernetesTarget
from tests.penstock.targets.cluster import Cluster, Killed

OLD, NEW, OTHER = (f"v{number}-{number}123456789ab" for number in (1, 2, 3))
PLAN = Rollout(steps=(25, 50), requests=50, minutes=0)


def given_settings(pods: int = 3, gateway: str | None = None, **shape: Any) -> settings.Settings:
    """Of functions with so many pods each."""
    shape_ = Shape(**{"least": pods, "most": pods, **shape})
    return settings.Settings(
        "functions", "f:1", "registry.example", "https://{name}.example", None, shape_, gateway
    )


class Stage:
    """A function whose `OLD` revision is live, and `NEW` has been put."""

    def __init__(self, cluster: Cluster, given: settings.Settings) -> None:
        self.cluster = cluster
        self.target = KubernetesTarget(cast(Api, cluster), given)
        for revision in (OLD, NEW, OTHER):
            self.put(revision)
        self.target.route("shift", OLD)
        self.put(NEW)

    def again(self) -> Stage:
        """The same, from the beginning."""
        return Stage(Cluster(), self.target._given)

    def put(self, revision: str) -> None:
        """Of an image that is there."""
        live = self.target._live.find("shift")
        traffic = self.target._traffic("shift", revision, live)
        self.target._deployments.run(Revision("shift", revision[1], revision, "f:1", traffic))

    def begin(self, plan: Rollout = PLAN, run: str = "r") -> None:
        self.target.roll_out("shift", NEW, plan, run)

    def step(self, requests: int = 400) -> RolloutStatus:
        """What a look tells after so many requests."""
        self.cluster.request(requests)
        found = self.target.take_step("shift").rollout
        assert found is not None
        return found

    def to_the_end(self) -> None:
        """Begin it, or go on with it."""
        self.begin(PLAN.model_copy(update={"requests": 20}))
        while not self.step(150).over:
            pass

    def take_away(self, revision: str | None) -> None:
        """By hand: what runs of a revision, or of None the live name."""
        if revision is None:
            self.cluster.delete("Service", "shift")
        else:
            self.cluster.delete("Deployment", manifests.revision_name("shift", revision))

    def pods(self, revision: str) -> int:
        return replicas(self.cluster.get("Deployment", manifests.revision_name("shift", revision)))

    def shares(self) -> Counter[str]:
        """Who answers a thousand requests."""
        return Counter(self.cluster.request(1000))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once, and nodes have followed at once."""
    monkeypatch.setattr(rollouts, "LOOK", 0.0)
    monkeypatch.setattr(module.KubernetesTarget, "_await_moved", lambda *_: None)


@pytest.fixture(params=[None, "gateways/public"], ids=["replicas", "gateway"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(Cluster(), given_settings(gateway=request.param))


def test_a_good_version_takes_over_step_by_step(stage: Stage) -> None:
    """Its share grows, nobody else gets any, and at the end it alone has pods, and the live name. (Had it lost its pods since it was
    put, it gets them again.)
    """
    stage.target.route("shift", OLD)
    assert stage.pods(NEW) == 0
    stage.begin()
    share = stage.shares()
    assert share.keys() == {OLD, NEW}
    assert 180 < share[NEW] < 320
    told = stage.step()
    assert (told.state, told.share, told.stage) == ("under way", 50, 2)
    assert 420 < stage.shares()[NEW] < 580
    assert stage.pods(OLD) == 3, "who serves keeps its pods until the end"
    while not (told := stage.step()).over:
        assert told.state == "under way"
    status = stage.target.status("shift")
    assert (told.state, status.live) == ("promoted", NEW)
    assert stage.shares() == {NEW: 1000}
    stage.target.route("shift", NEW)
    assert (stage.pods(OLD), stage.pods(NEW)) == (0, 3)
    assert stage.target.status("shift").rollout == told


def test_a_bad_one_goes_back_at_once(stage: Stage) -> None:
    """By the first look after it failed; it has no pods then, and the reason is told in numbers."""
    stage.cluster.answers[NEW] = lambda: (500, 0.003)
    stage.begin()
    told = stage.step()
    assert told.state == "worse"
    assert told.reason.startswith("errors: ")
    assert stage.shares() == {OLD: 1000}
    assert (stage.pods(OLD), stage.pods(NEW)) == (3, 0)
    assert stage.target.status("shift").live == OLD


@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad"])
def test_who_is_killed_loses_nothing(stage: Stage, bad: bool) -> None:
    """At any write of a whole rollout: whoever looks next goes on, to the same end, and requests are answered meanwhile."""
    end, writes, died = OLD if bad else NEW, 0, True
    while died:
        again, died = stage.again(), False
        if bad:
            again.cluster.answers[NEW] = lambda: (500, 0.003)
        again.cluster.dies_after = writes
        try:
            again.to_the_end()
        except Killed:
            died = True
            assert set(again.cluster.request(100)) <= {OLD, NEW}
        again.cluster.dies_after = None
        if again.target.status("shift").rollout is None:
            again.put(NEW)
        again.to_the_end()
        again.step(0)
        assert again.target.status("shift").live == end
        assert set(again.cluster.request(100)) == {end}
        assert (again.pods(end), again.pods(NEW)) == (3, 0 if bad else 3)
        writes += 1
    assert writes > 3


def test_of_two_who_look_at_once_one_has_looked(stage: Stage) -> None:
    """What pods count is counted once, and a version that one has taken back the other does not bring back."""
    stage.begin()
    stage.cluster.request(100)
    stage.cluster.meanwhile = lambda: stage.target.take_step("shift")
    told = stage.step(0)
    assert told.candidate
    assert told.champion
    assert told.stage == 1
    assert told.candidate.requests + told.champion.requests == 100
    stage.cluster.answers[NEW] = lambda: (500, 0.003)
    stage.cluster.request(400)
    stage.cluster.meanwhile = lambda: stage.target.take_step("shift")
    assert stage.step(0).state == "worse"
    assert stage.shares() == {OLD: 1000}


def test_a_look_follows_another_after_a_while(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks sooner is told what is known, and nothing is written."""
    monkeypatch.setattr(rollouts, "LOOK", 60.0)
    stage.begin()
    before = stage.cluster.get("Service", "shift")
    stage.step()
    assert stage.cluster.get("Service", "shift") == before


def test_a_person_steers_it(stage: Stage) -> None:
    """Paused it stays, and is judged; promoted and aborted it ends at once. Without one there is nothing to steer."""
    stage.begin()
    assert stage.target.steer("shift", "pause").rollout.state == "paused"  # type: ignore[union-attr]
    assert stage.step().stage == 1
    stage.target.steer("shift", "resume")
    assert stage.step().stage == 2
    stage.target.steer("shift", "abort")
    assert (stage.shares(), stage.pods(NEW)) == ({OLD: 1000}, 0)
    with pytest.raises(TargetError, match="no rollout of shift is in course") as caught:
        stage.target.steer("shift", "pause")
    assert caught.value.status == 409
    stage.put(NEW)
    stage.begin(run="again")
    stage.target.steer("shift", "promote")
    assert (stage.shares(), stage.pods(NEW)) == ({NEW: 1000}, 3)


def test_the_live_name_is_moved_meanwhile(stage: Stage) -> None:
    """To the live revision: it goes on. To another: that ends it. To the new one: that is its promotion."""
    stage.begin()
    stage.target.route("shift", OLD)
    assert stage.step(0).state == "under way"
    stage.put(OTHER)
    assert OTHER not in stage.shares(), "it was put, and nothing more"
    stage.target.route("shift", OTHER)
    told = stage.step(0)
    assert (told.state, told.reason) == ("aborted", f"the live name was moved to {OTHER}")
    assert stage.shares() == {OTHER: 1000}
    stage.put(NEW)
    stage.begin(run="again")
    stage.target.route("shift", NEW)
    assert stage.step(0).state == "promoted"
    assert stage.shares() == {NEW: 1000}
    assert stage.target.serving("shift") == NEW


def test_one_at_a_time(stage: Stage) -> None:
    """Begun again by the same run nothing changes; another, the live one, and one beside nothing are refused."""
    stage.begin()
    stage.begin()
    with pytest.raises(TargetError, match=f"{NEW} of shift is being rolled out"):
        stage.target.roll_out("shift", OTHER, PLAN, "r")
    stage.target.steer("shift", "abort")
    stage.begin()
    assert stage.step(0).state == "aborted", "the same run has had its answer"
    with pytest.raises(TargetError, match="is the live revision of shift already"):
        stage.target.roll_out("shift", OLD, PLAN, "r")
    stage.take_away(None)
    with pytest.raises(TargetError, match="no live revision to roll out beside"):
        stage.begin(run="again")


def test_what_cannot_begin_leaves_no_pods(stage: Stage) -> None:
    """Nor any trace; those that serve stay."""
    for revision in (NEW, OLD):
        with pytest.raises(TargetError):
            stage.target.roll_out("shift", revision, PLAN.model_copy(update={"sticky": "X-Customer"}), "r")
    assert (stage.pods(OLD), stage.pods(NEW)) == (3, 0)
    assert stage.target.status("shift").rollout is None


def test_one_that_was_taken_away_is_not_waited_for(stage: Stage) -> None:
    """By a person, say, who deleted its Deployment."""
    stage.begin()
    stage.take_away(NEW)
    assert stage.step(0).state == "aborted"
    assert stage.shares() == {OLD: 1000}


def test_versions_follow_each_other(stage: Stage) -> None:
    """There, there again and back: no pod that is put gets traffic by a label that it had from an earlier rollout."""
    live, turns = OLD, [NEW, OTHER, OLD, NEW]
    for number, revision in enumerate(turns):
        stage.put(revision)
        assert stage.shares() == {live: 1000}
        stage.target.roll_out("shift", revision, PLAN, str(number))
        for each in turns:
            if each not in (live, revision):
                stage.put(each)
        assert stage.shares().keys() == {live, revision}
        while not stage.step().over:
            pass
        stage.target.route("shift", revision)
        live = revision
        stage.put(live)
        assert stage.shares() == {live: 1000}


def test_one_whose_pods_do_not_run_is_worse(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be asked by nobody, and its rollout would never end."""
    stage.begin()
    name = manifests.revision_name("shift", NEW)
    condition = {"type": "ReplicaFailure", "status": "True", "message": "forbidden: exceeded quota"}
    stage.cluster.objects["Deployment", name]["status"] = {"conditions": [condition]}
    told = stage.step(0)
    assert told.state == "worse"
    assert told.reason == "its pods do not run: no pod can be made: forbidden: exceeded quota"


def test_in_the_shadow_a_gateway_copies_requests() -> None:
    """The new version answers all of them too, and nobody sees it; without a Gateway there is none."""
    stage = Stage(Cluster(), given_settings(gateway="public"))
    stage.begin(PLAN.model_copy(update={"shadow": 100}))
    assert stage.shares() == {OLD: 1000}
    told = stage.step()
    assert (told.stage, told.share) == (2, 25)
    assert 180 < stage.shares()[NEW] < 320


def test_a_gateway_that_we_are_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks without it would change who answers."""
    stage = Stage(Cluster(), given_settings(gateway="public"))
    stage.begin()
    untold = KubernetesTarget(cast(Api, stage.cluster), given_settings())
    with pytest.raises(TargetError, match="a Gateway deals the requests of this rollout"):
        untold.take_step("shift")


def test_what_an_earlier_release_has_put_is_brought_up_to_date_first() -> None:
    """Its pods have not the label by which a service has two revisions' pods."""
    stage = Stage(Cluster(), given_settings())
    template = stage.cluster.objects["Deployment", manifests.revision_name("shift", OLD)]["spec"]["template"]
    del template["metadata"]["labels"][manifests.TRAFFIC]
    with pytest.raises(TargetError, match="was put by an earlier release"):
        stage.begin()


# -- what a plan becomes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "given", "why"),
    [
        ({"steps": (5, 25, 50)}, given_settings(2), r"beside 2 of the live version .* near 5 %, at the least 33 %: take steps among \[33, 50\], 13 pods"),
        ({"shadow": 10}, given_settings(), "shadow needs a Gateway"),
        ({"sticky": "X-Customer"}, given_settings(gateway="public"), "sticky needs who deals requests to know callers"),
        ({"losses": 2.0}, given_settings(), "labels come to the function host alone: take losses out"),
        ({}, given_settings(most=9, metric="requests", value="1"), "SCALE_ON changes"),
        ({}, given_settings(101), "REPLICAS is more than 100"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_had_is_refused(
    change: dict[str, Any], given: settings.Settings, why: str
) -> None:
    """With what to change, before anything is made."""
    with pytest.raises(TargetError, match=why):
        rolling.fitted(PLAN.model_copy(update=change), given, given.shape.least)


def test_shares_are_those_that_pods_give() -> None:
    """Steps that are the same to them are one; by a Gateway all are as they were asked for."""
    planned = Rollout(steps=(5, 25, 50, 75))
    assert rolling.fitted(planned, given_settings(13), 13).steps == (7, 24, 50)
    assert rolling.fitted(planned, given_settings(1, gateway="public"), 1) == planned


@given(st.integers(1, 99), st.integers(1, 200))
def test_pods_give_no_more_than_half_and_are_the_nearest(step: int, pods: int) -> None:
    """No other number of them gives a share that is nearer by a percent, and a larger step is never given fewer."""
    own = rolling.beside(step, pods)
    assert 1 <= own <= pods
    assert rolling.beside(min(step + 1, 99), pods) >= own

    def off(number: int) -> float:
        return abs(100 * number / (pods + number) - step)

    assert off(own) <= min(off(number) for number in range(1, pods + 1)) + 1


# -- what somebody changes by hand ------------------------------------------------------------------------------------


def test_a_live_revision_without_pods_is_lost(stage: Stage) -> None:
    """Scaled to none by hand: that is told, and routing to it again mends it."""
    assert stage.target.status("shift").lost == ()
    name = manifests.revision_name("shift", OLD)
    stage.cluster.merge("Deployment", name, {"spec": {"replicas": 0}})
    assert stage.target.status("shift").lost == (f"the Deployment of {OLD} is to have no pods",)
    stage.target.route("shift", OLD)
    assert (stage.target.status("shift").lost, stage.pods(OLD)) == ((), 3)


def test_a_service_that_leads_elsewhere_is_lost(stage: Stage) -> None:
    """Its selector changed by hand."""
    stage.cluster.merge("Service", "shift", {"spec": {"selector": manifests.of_revision("shift", NEW)}})
    assert stage.target.status("shift").lost == (f"the Service shift does not select the pods of {OLD}",)
    stage.target.route("shift", OLD)
    assert stage.target.status("shift").lost == ()


def test_a_route_that_is_gone_is_lost() -> None:
    """Taken away by hand, or never made, as who deployed was killed; or changed. A rollout's own is none of these."""
    stage = Stage(Cluster(), given_settings(gateway="gateways/public"))
    said = ("the HTTPRoute shift does not lead to the Service",)
    stage.cluster.delete("HTTPRoute", "shift")
    assert stage.target.status("shift").lost == said
    stage.target.route("shift", OLD)
    assert stage.target.status("shift").lost == ()
    stage.cluster.merge("HTTPRoute", "shift", {"spec": {"hostnames": ["other.example"]}})
    assert stage.target.status("shift").lost == said
    stage.target.route("shift", OLD)
    stage.begin()
    assert stage.target.status("shift").lost == ()
    stage.target.steer("shift", "abort")
    assert stage.target.status("shift").lost == ()


def test_a_rollouts_sides_are_made_whole() -> None:
    """Pods of either side, and the Service by which a Gateway finds the candidate's, taken away by hand: the next look has them back."""
    stage = Stage(Cluster(), given_settings(gateway="gateways/public"))
    stage.begin()
    for revision in (OLD, NEW):
        stage.cluster.merge(
            "Deployment", manifests.revision_name("shift", revision), {"spec": {"replicas": 0}}
        )
    stage.cluster.delete("Service", manifests.revision_name("shift", NEW))
    stage.target.take_step("shift")
    assert (stage.pods(OLD), stage.pods(NEW)) == (3, 3)
    assert stage.shares().keys() == {OLD, NEW}


def test_what_went_live_meanwhile_is_not_ended(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two who deploy at once: whoever is done last ends what does not serve, and not what he did not make live."""
    target = stage.target

    def first_another(name: str, revision: str) -> None:
        monkeypatch.setattr(target, "_await_moved", lambda *_: None)
        target.route("shift", OTHER)

    monkeypatch.setattr(target, "_await_moved", first_another)
    target.route("shift", NEW)
    assert target.status("shift").live == OTHER
    assert stage.shares() == {OTHER: 1000}


def test_what_serves_is_not_taken_away_as_it_fails(stage: Stage) -> None:
    """Put again, as its Deployment was taken away by hand, it has some pods and not all: these stay."""
    stage.take_away(OLD)
    made = Revision("shift", "1", OLD, "f:1", None)
    stage.target._deployments.run(made)
    stage.target._undo(made, None, with_policy=False)
    assert stage.pods(OLD) == 3
    other = Revision("shift", "2", NEW, "f:1", None)
    stage.target._undo(other, None, with_policy=False)
    assert stage.pods(NEW) == 0


def test_a_record_that_is_no_record_is_none(stage: Stage) -> None:
    """Cut by hand: what serves is still told, and can be moved."""
    stage.begin()
    stage.target.steer("shift", "abort")
    service = stage.cluster.objects["Service", "shift"]
    service["metadata"]["annotations"][manifests.ROLLOUT] = '{"record": '
    del stage.cluster.objects["Deployment", manifests.revision_name("shift", NEW)]["metadata"]["labels"][
        "app.kubernetes.io/version"
    ]
    status = stage.target.status("shift")
    assert (status.live, status.rollout) == (OLD, None)
    stage.target.route("shift", NEW)
    assert stage.target.status("shift").live == NEW


def test_a_rollout_whose_record_is_gone_ends_with_the_next_move() -> None:
    """By replicas the Service selects two revisions' pods: moved, it selects one's."""
    stage = Stage(Cluster(), given_settings())
    stage.begin()
    del stage.cluster.objects["Service", "shift"]["metadata"]["annotations"][manifests.ROLLOUT]
    assert stage.target.status("shift").lost
    stage.target.route("shift", OLD)
    assert stage.target.status("shift").lost == ()
    assert stage.shares() == {OLD: 1000}


def test_a_cluster_without_routes_lets_a_function_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Gateway API taken away since: that is told as lost, and the function can be taken away."""
    stage = Stage(Cluster(), given_settings(gateway="gateways/public"))
    get = stage.cluster.get

    def without(kind: str, name: str) -> Any:
        if kind == "HTTPRoute":
            raise UnknownKind("404 page not found")
        return get(kind, name)

    monkeypatch.setattr(stage.cluster, "get", without)
    assert stage.target.status("shift").lost == ("the HTTPRoute shift does not lead to the Service",)
    stage.target.remove("shift")
    assert stage.cluster.get("Service", "shift") is None
