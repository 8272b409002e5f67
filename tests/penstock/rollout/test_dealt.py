"""A rollout that we deal ourselves: who is asked, what is counted, and when it goes on, back or to its end."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rollout.course import LEARN
from penstock.rollout.dealt import FAILED, DealtCourse, Seen, answer_in
from penstock.rollout.record import Record
from penstock.spec.rollout import Rollout

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = BEGAN + timedelta(minutes=1)


def course(**plan: object) -> DealtCourse:
    """One that has just begun."""
    planned = Rollout.model_validate({"steps": [20], "requests": 100, "minutes": 1, **plan})
    at = BEGAN.isoformat()
    return DealtCourse(Record(revision="v2-0123456789ab", run="r", plan=planned, began=at, since=at))


def answered(seconds: float = 0.01, score: float | None = None) -> Seen:
    return Seen(failed=False, seconds=seconds, score=score)


@pytest.mark.parametrize("share", [1, 20, 80])
def test_requests_are_dealt_by_share(share: int) -> None:
    """Without a key each by itself, with keys by theirs: within five deviations of the share, of 20 000."""
    dealing = course(steps=[share])
    for keys in ([None] * 20_000, [f"caller-{i}" for i in range(20_000)]):
        dealt = sum(dealing.deals(key) for key in keys)
        assert abs(dealt - 200 * share) < 5 * (200 * share * (1 - share / 100)) ** 0.5


@settings(max_examples=25)
@given(st.text(max_size=40))
def test_a_key_stays_with_its_side(key: str) -> None:
    """Asked again the answer is the same, and who is with the candidate stays there as its share grows."""
    dealing = course(steps=[5, 25, 50, 99])
    before = False
    while True:
        now = dealing.deals(key)
        assert now == dealing.deals(key)
        assert now or not before
        before, further = now, dealing.advanced(LATER)
        if further is None:
            break
        dealing.become(further)


def test_a_stage_lasts_its_requests_and_its_time() -> None:
    """Either alone is not enough; a rollout that is paused stays where it is, and is judged all the same."""
    going = course(steps=[20, 50])
    for _ in range(99):
        going.note_candidate(answered())
    assert going.verdict(LATER).word == "go on"
    going.note_candidate(answered())
    assert going.verdict(LATER - timedelta(seconds=1)).word == "go on"
    assert going.verdict(LATER).word == "next"
    going.become(going.record.model_copy(update={"state": "paused"}))
    assert going.verdict(LATER).word == "go on"
    for _ in range(10):
        going.note_candidate(FAILED)
    assert going.verdict(LATER).word == "worse"


def test_the_next_stage_begins_with_empty_counts_and_the_old_evidence() -> None:
    """Errors of the stage before still count; after the last stage there is none."""
    going = course(steps=[5, 50])
    for _ in range(2):
        going.note_candidate(FAILED)
    assert going.verdict(LATER).word == "go on"
    further = going.advanced(LATER)
    assert further is not None
    going.become(Record.model_validate_json(further.model_dump_json()))
    status = going.status()
    assert (status.stage, status.share, status.candidate and status.candidate.requests) == (2, 50, 0)
    for _ in range(9):
        going.note_candidate(FAILED)
    assert going.verdict(LATER).word == "worse"
    assert going.advanced(LATER) is None


def test_errors_are_told_in_numbers() -> None:
    """Of which requests how many failed, on both sides, and what is tolerated."""
    going = course()
    for _ in range(90):
        going.note_champion(answered())
    for _ in range(12):
        going.note_candidate(FAILED)
    assert going.verdict(BEGAN).reason == (
        "errors: 12 of 12 requests failed, of the champion's 0 of 90; 1.5 times as often is tolerated"
    )


def test_what_only_the_candidate_refuses_is_told() -> None:
    """Callers' own mistakes are refused by both, at the same rate; a version that refuses ten times as much is worse."""
    going, refused = course(steps=[50]), Seen(failed=False, seconds=0.01, refused=True)
    for _ in range(100):
        going.note_champion(refused)
        going.note_candidate(refused)
    assert going.verdict(BEGAN).word == "go on"
    going = course(steps=[50])
    for seen in range(60):
        going.note_champion(refused if seen % 10 == 0 else answered())
        going.note_candidate(refused)
    assert going.verdict(BEGAN).reason == (
        "refusals: 60 of 60 requests were refused, of the champion's 6 of 60; 1.5 times as often is tolerated"
    )


@pytest.mark.parametrize(("times", "word"), [(1.0, "go on"), (1.4, "go on"), (3.0, "worse")])
def test_a_slower_candidate_is_seen(times: float, word: str) -> None:
    """Three times as slow is worse; a little slower than the champion, within what is tolerated, is not."""
    going, chance = course(), random.Random(1)
    found = "go on"
    for _ in range(100):
        for _ in range(16):
            going.note_champion(answered(chance.lognormvariate(-4.6, 0.3)))
            going.note_candidate(answered(times * chance.lognormvariate(-4.6, 0.3)))
        found = going.verdict(BEGAN).word
        if found == "worse":
            assert " ms, its 99th percentile" in going.verdict(BEGAN).reason
            break
    assert found == word


def test_a_few_milliseconds_are_no_matter() -> None:
    """Where the champion answers in one, a candidate that takes five is four times as slow and keeps its traffic."""
    going = course()
    for _ in range(100):
        for _ in range(16):
            going.note_champion(answered(0.001))
            going.note_candidate(answered(0.005))
        assert going.verdict(BEGAN).word == "go on"


@pytest.mark.parametrize(("moved", "word"), [(0.0, "go on"), (0.05, "go on"), (0.5, "worse")])
def test_scores_that_move_are_seen(moved: float, word: str) -> None:
    """By bins that the champion's own scores gave; a small move is tolerated."""
    going, chance = course(slower=100), random.Random(2)
    for _ in range(4000):
        going.note_champion(answered(score=chance.random()))
        going.note_candidate(answered(score=chance.random() + moved))
    assert going.verdict(BEGAN).word == word
    if word == "worse":
        assert going.verdict(BEGAN).reason.startswith("scores: the distributions are 0.")


def test_in_the_shadow_differences_count() -> None:
    """What both refuse is nobody's failure; what the candidate alone does not answer is, and soon enough."""
    going = course(shadow=50)
    assert going.shadowing
    assert not going.deals(None)
    for _ in range(60):
        going.note_both(FAILED, Seen(failed=False, refused=True))
    assert going.verdict(LATER).word == "next"
    for _ in range(20):
        going.note_both(answered(), FAILED)
    assert going.verdict(LATER).word == "worse"


def test_once_stopped_nothing_is_dealt() -> None:
    """Not at any share, nor by a key."""
    going = course(steps=[99])
    going.stopped = True
    assert not any(going.deals(key) for key in (None, *map(str, range(100))))


def test_its_size_does_not_grow_with_traffic() -> None:
    """What is on disk after a hundred times the answers is not larger, but for the digits of the counts."""
    sizes = []
    going, chance = course(), random.Random(4)
    for requests in (2 * LEARN, 200 * LEARN):
        for _ in range(requests):
            going.note_champion(answered(chance.random(), chance.random()))
            going.note_candidate(answered(chance.random(), chance.random()))
        sizes.append(len(going.ended("aborted", "").model_dump_json()))
    assert sizes[1] < sizes[0] + 60


@pytest.mark.parametrize(
    ("answer", "score", "predicted"),
    [
        ({"prediction": 2.5}, 2.5, 2.5),
        ({"prediction": 1, "probability": {"0": 0.25, "1": 0.75}}, 0.75, 1),
        ({"prediction": "b", "probability": {"a": 0.25, "b": 0.5, "c": 0.25}}, 0.5, "b"),
        ({"predictions": [{"prediction": 1.0}, {"prediction": 2.0}]}, 1.0, 1.0),
        ({"predictions": []}, None, None),
        ({"prediction": "b"}, None, "b"),
        ({"prediction": None}, None, None),
        ({"prediction": [1]}, None, None),
        ({"prediction": 10**400}, None, 10**400),
        ([1], None, None),
        ({"error": "no"}, None, None),
    ],
)
def test_what_answers_say(answer: object, score: float | None, predicted: object) -> None:
    """The prediction log's score of the first record, and its prediction; None where there is none."""
    assert answer_in(json.dumps(answer).encode()) == (score, predicted)


@given(st.binary(max_size=50))
def test_no_answer_breaks_the_reading(content: bytes) -> None:
    """Whatever bytes a function answers."""
    answer_in(content)
