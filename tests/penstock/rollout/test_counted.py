"""A rollout by what pods count: nothing is counted twice or by the wrong side, whoever looks when, and what follows from it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rollout.counted import CountedCourse, Counters, Watch, read
from penstock.rollout.course import BLOCK, LEARN
from penstock.rollout.judge import Bins
from penstock.rollout.record import Record
from penstock.spec.rollout import Rollout
from penstock_function.metrics import Metrics, Scores
from penstock_function.package import Package

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = BEGAN + timedelta(minutes=1)
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1)


def watch(**plan: object) -> Watch:
    """One that has just begun, beside a pod on each side that has counted nothing."""
    planned = Rollout.model_validate({"steps": [20], "requests": 100, "minutes": 1, **plan})
    at = BEGAN.isoformat()
    record = Record(revision="v2-0123456789ab", run="r", plan=planned, began=at, since=at)
    made, _ = Watch(record=record, looked=at).look({"old": pod()}, {"new": pod()}, BEGAN)
    return made


def pod(
    requests: int = 0, errors: int = 0, refusals: int = 0, *, started: float = 1.0, **bins: Bins
) -> Counters:
    return Counters(started=started, requests=requests, errors=errors, refusals=refusals, **bins)


def seconds(*counts: int) -> Bins:
    return Bins(EDGES, list(counts))


# -- what pods say ------------------------------------------------------------------------------------------------


def test_a_runtimes_page_is_read() -> None:
    """Predictions by both protocols are counted, 4xx and 5xx apart; pages and OpenWhisk's calls are none."""
    metrics = Metrics(lambda: 0)
    for path, status in (
        ("/predict", 200),
        ("/v2/infer", 200),
        ("/predict", 422),
        ("/predict", 500),
        ("/init", 500),
    ):
        metrics.answered(path, status, 0.003)
    classes = SimpleNamespace(classes=[0, 1])
    scores = Scores(cast(Package, classes), lambda answer: cast(float, answer["score"]))
    metrics._registry.register(scores)
    scores.add([{"score": score} for score in (0.05, 0.1, 0.95)])
    found = read(metrics.text().decode())
    assert (found.requests, found.errors, found.refusals) == (4, 1, 1)
    assert found.started > 0
    assert found.seconds.total == 4
    assert found.seconds.beyond(0.0025) == 4
    assert found.seconds.beyond(0.005) == 0
    assert found.scores == Bins(
        tuple(tenth / 10 for tenth in range(1, 11)), [2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    )


def test_a_runtime_that_was_not_asked_yet_is_read() -> None:
    """It has no counters of requests yet."""
    assert read(Metrics(lambda: 0).text().decode()).requests == 0


@given(st.text(max_size=60))
def test_what_is_no_such_page_is_refused(text: str) -> None:
    """Whatever another program says."""
    with pytest.raises(ValueError, match=r".*"):
        read(text)


# -- what is counted ----------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans()), min_size=1, max_size=12),
)
def test_every_request_is_counted_once(looks: list[tuple[int, int, bool]]) -> None:
    """However many there were between looks, and whether or not a pod could be asked: after the last block, all are."""
    now, own, other = watch(), 0, 0
    counts: dict[str, Any] = {}
    for more_own, more_other, unasked in [*looks, (BLOCK, BLOCK, False)]:
        own, other = own + more_own, other + more_other
        counts = {"old": pod(other), "new": pod(own)}
        now, _ = now.look({"old": counts["old"]}, {"new": None if unasked else counts["new"]}, BEGAN)
        assert now.candidate.counts.requests <= own
        now = Watch.model_validate_json(now.model_dump_json())
    assert (now.champion.counts.requests, now.candidate.counts.requests) == (other, own)


def test_a_pod_that_comes_later_counts_from_when_it_was_seen() -> None:
    """What it had counted before was perhaps before the rollout; one that is gone is forgotten."""
    now, _ = watch().look({"old": pod(50), "late": pod(1000)}, {"new": pod(20)}, BEGAN)
    assert (now.champion.counts.requests, now.candidate.counts.requests) == (50, 20)
    now, _ = now.look({"late": pod(1030)}, {"new": pod(40)}, BEGAN)
    assert now.champion.counts.requests == 80
    assert now.pods.keys() == {"late", "new"}


def test_a_process_that_was_started_again_counts_from_zero_and_has_failed_once() -> None:
    """What it had in hand was not answered."""
    now, _ = watch().look({"old": pod(50)}, {"new": pod(40)}, BEGAN)
    now, _ = now.look({"old": pod(90)}, {"new": pod(15, started=2.0)}, BEGAN)
    assert (now.candidate.counts.requests, now.candidate.counts.errors) == (56, 1)


def test_pods_of_a_side_are_counted_together() -> None:
    """Also where one has no scores yet."""
    course = CountedCourse(watch().record, *(watch().champion for _ in range(2)))
    course.count(
        [pod(BLOCK)], [pod(7, scores=Bins((0.5,), [3, 4])), pod(5, scores=Bins((0.5,), [1, 4])), pod(1)]
    )
    assert course.candidate.scores == Bins((0.5,), [4, 8])
    assert course.candidate.counts.requests == 13


# -- what follows -------------------------------------------------------------------------------------------------


def test_a_stage_lasts_its_requests_and_its_time() -> None:
    """Either alone is not enough, and one that is paused stays; the next stage begins with empty counts."""
    going = watch(steps=[20, 50])
    there = {"old": pod(400)}
    assert going.look(there, {"new": pod(99)}, LATER)[1].word == "go on"
    assert going.look(there, {"new": pod(100)}, LATER - timedelta(seconds=1))[1].word == "go on"
    assert going.turned("paused").look(there, {"new": pod(100)}, LATER)[1].word == "go on"
    lasted, verdict = going.look(there, {"new": pod(100)}, LATER)
    assert verdict.word == "next"
    further = lasted.advanced(LATER)
    assert further is not None
    status = further.status()
    assert (status.stage, status.share, status.candidate and status.candidate.requests) == (2, 50, 0)
    assert further.advanced(LATER) is None


def test_one_that_fails_is_worse_whatever_its_share_was() -> None:
    """By the share that a block's requests were seen to have, as no platform deals exactly what it was told."""
    for other in (40, 200, 1000):
        assert watch().look({"old": pod(other)}, {"new": pod(40, errors=30)}, BEGAN)[1].word == "worse"
        assert watch().look({"old": pod(other, other // 2)}, {"new": pod(40, 20)}, BEGAN)[1].word == "go on"
        assert (
            watch()
            .look({"old": pod(other)}, {"new": pod(40, 0, 40)}, BEGAN)[1]
            .reason.startswith("refusals: 40 of 40")
        )


@pytest.mark.parametrize(("slow", "word"), [(0.0, "go on"), (0.01, "go on"), (0.9, "worse")])
def test_a_slower_one_is_seen_by_bins(slow: float, word: str) -> None:
    """The champion answers within 10 ms: beyond 25 ms the candidate is slow, by what is tolerated, rounded up to an edge."""
    going = watch(requests=10**6)
    own = other = 0
    found = "go on"
    for _ in range(60):
        own, other = own + 100, other + LEARN
        late = int(own * slow)
        going, verdict = going.look(
            {"old": pod(other, seconds=seconds(0, other, 0, 0, 0, 0))},
            {"new": pod(own, seconds=seconds(0, 0, own - late, late, 0, 0))},
            BEGAN,
        )
        found = verdict.word
        if found == "worse":
            assert "took more than 25 ms, which is tolerated" in verdict.reason
            assert "took more than 10 ms, its 99th percentile" in verdict.reason
            break
    assert found == word


@pytest.mark.parametrize(("moved", "word"), [(0.0, "go on"), (0.5, "worse")])
def test_scores_that_move_are_seen(moved: float, word: str) -> None:
    """By the runtime's own bins."""
    chance, sides = random.Random(2), []
    for by in (0.0, moved):
        bins = Bins.of(tenth / 10 for tenth in range(1, 11))
        for _ in range(2000):
            bins.add(chance.random() / 2 + by)
        sides.append(pod(2000, scores=bins))
    assert watch().look({"old": sides[0]}, {"new": sides[1]}, BEGAN)[1].word == word


def test_at_its_end_nothing_of_pods_is_kept() -> None:
    """Only what is told of it."""
    going, _ = watch().look({"old": pod(50)}, {"new": pod(50, 40)}, BEGAN)
    ended = going.ended("worse", "why")
    assert ended.pods == {}
    assert (ended.status().state, ended.status().reason) == ("worse", "why")


def test_its_size_does_not_grow_with_traffic() -> None:
    """But for the digits of the counts."""
    sizes = []
    for times in (1, 1000):
        counts = pod(500 * times, seconds=seconds(*(100 * times,) * 6))
        going, _ = watch().look({"old": counts}, {"new": counts}, BEGAN)
        sizes.append(len(going.model_dump_json()))
    assert sizes[1] < sizes[0] + 150
