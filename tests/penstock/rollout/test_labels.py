"""Labels: what is remembered until they come, how wrong an answer was by one, and when that makes a version worse."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.rollout.course import LEARN
from penstock.rollout.dealt import FAILED, DealtCourse, Seen
from penstock.rollout.judge import ENOUGH, mean_of_logs
from penstock.rollout.labels import Answered, Answers, Comparison, Problem, Taken
from penstock.rollout.record import Losses, Record
from penstock.spec.rollout import Rollout

NUMBER = Problem()
LATE = Problem(("on time", "late"), probabilities=True)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def course(problem: Problem | None = NUMBER, most: int = 100_000, **plan: object) -> DealtCourse:
    """One that has just begun."""
    planned = Rollout.model_validate({"steps": [50], "requests": 10**9, "scores": 1, **plan})
    at = BEGAN.isoformat()
    record = Record(revision="v2-0123456789ab", run="r", plan=planned, began=at, since=at)
    return DealtCourse(record, problem and Answers(problem, most))


def said(answer: float | str) -> Seen:
    return Seen(
        failed=False, seconds=0.01, score=answer if isinstance(answer, float) else None, predicted=answer
    )


# -- how wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "score", "predicted", "label", "loss"),
    [
        (NUMBER, 2.5, 2.5, 4, 1.5),
        (NUMBER, 1e308, 1e308, -1e200, 1e200),
        (LATE, 0.75, "late", "late", 0.0625),
        (LATE, 0.75, "late", "on time", 0.5625),
        (Problem((0, 1), probabilities=True), 0.25, 0, True, 0.5625),
        (Problem((0, 1)), None, 0, 1, 1.0),
        (Problem(("a", "b", "c"), probabilities=True), 0.5, "b", "b", 0.0),
        (Problem(("a", "b", "c"), probabilities=True), 0.5, "b", "c", 1.0),
    ],
)
def test_a_loss_by_the_problem(
    problem: Problem, score: float | None, predicted: float | str, label: float | str, loss: float
) -> None:
    """Of a number how far it is from it, of two classes Brier's, of more, or without probabilities, whether it was another one."""
    answer = problem.answer(score, predicted)
    assert answer is not None
    assert problem.fault(label) is None
    assert problem.loss(answer, label) == loss
    assert problem.bound is None or loss <= problem.bound


@given(st.floats(0, 1), st.floats(0, 1))
def test_who_says_true_probabilities_loses_least(chance: float, told: float) -> None:
    """In the mean, over what may turn out to be true: nobody gains by saying another one."""

    def mean(answer: float) -> float:
        return chance * LATE.loss(answer, "late") + (1 - chance) * LATE.loss(answer, "on time")

    assert mean(chance) <= mean(told) + 1e-12


@pytest.mark.parametrize(
    ("problem", "label", "why"),
    [
        (NUMBER, "late", "expected a number"),
        (NUMBER, True, "expected a number"),
        (NUMBER, 10**400, "expected a number"),
        (LATE, "Late", "expected one of ['on time', 'late']"),
        (LATE, 1, "expected one of ['on time', 'late']"),
    ],
)
def test_what_is_no_label(problem: Problem, label: float | str, why: str) -> None:
    """It is told what would be one."""
    assert problem.fault(label) == why


# -- what is remembered ---------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), max_size=120), st.integers(1, 20))
def test_the_latest_are_remembered_and_no_more(requests: list[int], most: int) -> None:
    """As many as may be; of an id that came again while it was known, what was answered first."""
    answers, first = Answers(NUMBER, most), dict[str, int]()
    for number, request in enumerate(map(str, requests)):
        if request not in first:
            if len(first) == most:
                del first[next(iter(first))]
            first[request] = number
        answers.remember(request, Answered(0, float(number), None))
    assert {request for request in map(str, range(31)) if request in answers} == set(first)
    for request, number in first.items():
        assert answers.take(request) == Answered(0, float(number), None)
        assert answers.take(request) is None
        assert request in answers


def test_an_id_of_any_length_takes_little_room() -> None:
    """One that is longer than what the prediction log has of it is not remembered."""
    answers = Answers(NUMBER, 10)
    for length in (128, 129):
        answers.remember("x" * length, Answered(0, 1.0, None))
    assert "x" * 128 in answers
    assert "x" * 129 not in answers


# -- what it says ---------------------------------------------------------------------------------------------

Draw = Callable[[random.Random], float]


def alarms(
    chance: random.Random, bound: float | None, share: float, champion: Draw, candidate: Draw, labels: int
) -> bool:
    """Whether the candidate is called worse at any of so many labels, looked at after each."""
    comparison = Comparison(Losses(), bound, 1.1)
    for _ in range(labels):
        if chance.random() < share:
            comparison.note(0, None, candidate(chance))
        else:
            comparison.note(0, champion(chance), None)
        if mean_of_logs(comparison.losses.bets) >= ENOUGH:
            return True
    return False


def wrong(often: float) -> Draw:
    """Loses 1 so often, else nothing: of all losses with that mean those that vary most."""
    return lambda chance: float(chance.random() < often)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_false_alarms_stay_rare_under_continuous_looking(share: float) -> None:
    """At the very edge of what is tolerated, looked at after each of 300 labels, one in 500 rollouts is stopped at most."""
    chance = random.Random(7)
    found = sum(alarms(chance, 1.0, share, wrong(0.4), wrong(0.44), 300) for _ in range(200))
    assert found <= 3  # 0.4 are allowed in the mean: more than 3 has a chance below 1 in 1000


def test_what_loses_twice_as_much_is_seen() -> None:
    """Of numbers, whose errors are spread normally: within some 500 labels of each side, nine times of ten."""
    chance = random.Random(11)

    def apart(times: float) -> Draw:
        return lambda chance: times * abs(chance.gauss(0, 1))

    assert sum(alarms(chance, None, 0.5, apart(1), apart(2), 1000) for _ in range(20)) >= 18


def test_requests_of_different_stages_are_not_compared() -> None:
    """Where those of the next stage are all harder, both sides lose more there, and the candidate has more of them: it is no worse."""
    comparison, chance = Comparison(Losses(), 1.0, 1.1), random.Random(3)
    for _ in range(4000):
        stage = chance.random() < 0.5
        loss = chance.random() * (1 if stage else 0.1)
        if chance.random() < (0.5 if stage else 0.05):
            comparison.note(stage, None, loss)
        else:
            comparison.note(stage, loss, None)
        assert mean_of_logs(comparison.losses.bets) < ENOUGH


def test_without_a_bound_losses_count_up_to_twice_the_champions_largest() -> None:
    """Of its first labels, which are not judged: whatever comes then, one label is no verdict."""
    comparison = Comparison(Losses(), None, 1.25)
    for number in range(LEARN):
        comparison.note(0, number / LEARN, None)
        comparison.note(0, None, 1e200)
    losses = comparison.losses
    assert (losses.pairs, losses.largest) == (0, (LEARN - 1) / LEARN)
    comparison.note(0, 0.5, 1e200)
    assert (losses.pairs, losses.champion, losses.candidate) == (1, 0.5, 1.25 * losses.most)
    assert mean_of_logs(losses.bets) < 2


def test_beside_one_that_is_always_as_wrong_a_worse_one_is_seen() -> None:
    """Though the champion's mean loss is its largest."""
    comparison = Comparison(Losses(), None, 2.0)
    for _ in range(LEARN + 40):
        comparison.note(0, 0.1, 1.0)
    assert mean_of_logs(comparison.losses.bets) >= ENOUGH


def test_beside_one_that_is_never_wrong_nothing_has_a_scale() -> None:
    """Until it is wrong once."""
    comparison = Comparison(Losses(), None, 1.1)
    for _ in range(2 * LEARN):
        comparison.note(0, 0.0, 1e-9)
    assert comparison.losses.pairs == 0
    comparison.note(0, 1.0, 1e-9)
    comparison.note(0, 0.0, 1e-9)
    assert comparison.losses.pairs == 1


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), *(st.none() | st.floats(0, 1e200, allow_subnormal=True) for _ in range(2))
        ),
        max_size=30,
    ),
    st.sampled_from([1.0, 1.1, 100.0]),
    st.floats(0, 1e200),
)
def test_evidence_is_a_number_at_any_losses(
    notes: list[tuple[int, float | None, float | None]], tolerated: float, largest: float
) -> None:
    """And is kept as one: what is read back is what was written."""
    comparison = Comparison(Losses(champion_labels=LEARN, largest=largest), None, tolerated)
    for stage, champion, candidate in notes:
        comparison.note(stage, champion, candidate)
    assert mean_of_logs(comparison.losses.bets) >= 0
    assert Losses.model_validate_json(comparison.losses.model_dump_json()) == comparison.losses


# -- in a rollout ---------------------------------------------------------------------------------------------


def test_labels_count_once_and_some_are_not_known() -> None:
    """Those of requests that failed, had no id, or were never seen; what counted before is told apart."""
    going = course()
    going.note_champion(said(1.0), "a")
    going.note_candidate(said(1.0), "b")
    going.note_candidate(said(5.0), "b")
    going.note_candidate(FAILED, "c")
    going.note_candidate(said(1.0))
    assert going.label({"a": 1, "b": 1.5, "c": 1, "d": 1}) == Taken(taken=2, again=0, unknown=2)
    assert going.label({"a": 9, "b": 9}) == Taken(taken=0, again=2, unknown=0)
    status = going.status()
    assert status.champion is not None
    assert status.candidate is not None
    assert (status.champion.labels, status.candidate.labels, status.candidate.loss) == (1, 1, None)


def test_one_that_is_no_label_has_none_of_them_taken() -> None:
    """It is named, and all may be sent again."""
    going = course(LATE)
    going.note_champion(said(0.5), "a")
    with pytest.raises(ValueError, match="the label of 'x' is 'Late', expected one of"):
        going.label({"a": "late", "x": "Late"})
    assert going.label({"a": "late"}) == Taken(taken=1)


def test_where_nothing_is_remembered_no_label_is_known() -> None:
    """As where the package cannot be read."""
    going = course(None)
    going.note_champion(said(0.5), "a")
    assert going.label({"a": 1}) == Taken(unknown=1)


@pytest.mark.parametrize("shadow", [0, 10**6])
def test_a_version_that_is_more_often_wrong_is_worse(shadow: int) -> None:
    """By labels that come in bulk, and the reason is in numbers; in the shadow one label is of both sides."""
    going, chance = course(Problem((0, 1)), shadow=shadow), random.Random(1)
    labels = {}
    for number in range(300):
        request, label = str(number), int(chance.random() < 0.5)
        champion, candidate = (said(label ^ (chance.random() < often)) for often in (0.1, 0.6))
        if shadow:
            going.note_both(champion, candidate, request)
        elif number % 2:
            going.note_champion(champion, request)
        else:
            going.note_candidate(candidate, request)
        labels[request] = label
    assert going.verdict(BEGAN).word == "go on"
    assert going.label(labels) == Taken(taken=300)
    verdict = going.verdict(BEGAN)
    assert verdict.word == "worse"
    sides = 300 if shadow else 150
    losses = going.record.losses
    own, other = losses.candidate / losses.pairs, losses.champion / losses.pairs
    assert own > 0.5 > 0.15 > other
    assert verdict.reason == (
        f"losses: {own:.3g} in the mean by {sides} labels, of the champion {other:.3g} by {sides}; "
        "1.1 times as much is tolerated"
    )
    again = DealtCourse(Record.model_validate_json(going.record.model_dump_json()), Answers(NUMBER, 10))
    assert again.verdict(BEGAN).reason == verdict.reason


def test_labels_of_an_earlier_stage_still_count() -> None:
    """They come late: what was answered is remembered for the whole rollout."""
    going = course(Problem((0, 1)), steps=[20, 50])
    going.note_champion(said(1), "a")
    going.note_candidate(said(0), "b")
    further = going.advanced(BEGAN)
    assert further is not None
    going.become(further)
    assert going.label({"a": 1, "b": 1}) == Taken(taken=2)
    assert (going.record.losses.pairs, going.record.losses.candidate) == (1, 1.0)
