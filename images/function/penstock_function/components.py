"""What an action of OpenWhisk does with a value: a whole function, or one component of a sequence.

In a sequence the model and each step have a container of their own, and what one gives is what the next one gets: so what goes
between them (`Passed`) holds all that is known of the records, as a component that comes later may take it. The first gets
the caller's value, and the last gives the caller's answer, which is that of the same function in one process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final, Protocol

import msgspec

from penstock_function.package import SCORE, PackageError
from penstock_function.prediction_log import Row
from penstock_function.records import InputError, describe
from penstock_function.service import Refusal, Service, check_count, records_of, unfit
from penstock_function.step import Step, StepError
from penstock_function.steps import merged, step_by_step

#: As an action's `main`: the model among its steps, and before its name one of these. Any other is the whole function.
MODEL, STEP = SCORE, "steps/"
#: Under this name a value holds what one component passes to the next, or the word SAMPLES.
PASSED: Final = "__penstock"
#: What a model is asked for requests like its package's samples, with their answers in one process.
SAMPLES: Final = "samples"
_SAMPLES = 16  # at most so many, as they go through a sequence at once
#: Columns of these names would be taken for something else before the model is reached.
_TAKEN = frozenset({"records", "explain", PASSED})
#: What an answer has that no step takes of it.
_ABOUT = frozenset({"name", "version", "explanation"})

Given = tuple[dict[str, Any], Sequence[Row]]


class Component(Protocol):
    """The result of an activation for its value, and what is logged of it. Raises Refusal, StepError."""

    def __call__(self, value: dict[str, Any]) -> Given: ...


class Passed(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of a request's records between two components.

    Before the model `records` are the caller's, and `made` is what steps gave for each; after it `records` have both, and `answer` is
    the caller's as far as it is known, with the steps that are `left` to add to it.
    """

    records: list[Any]
    made: list[dict[str, Any]]
    many: bool = True
    explain: bool = False
    answer: dict[str, Any] | None = None
    left: list[str] = []

    def __post_init__(self) -> None:
        if len(self.made) != len(self.records) or not (self.many or len(self.records) == 1):
            raise ValueError("not one record for each of another part")
        if self.answer is not None:
            objects = all(isinstance(each, dict) for each in (*self.records, *self.answers))
            if not objects or len(self.answers) != len(self.records):
                raise ValueError("not an answer for each record")

    @classmethod
    def of(cls, value: dict[str, Any]) -> Passed:
        """What the component before passed on, or what a caller asks. Raises Refusal (422)."""
        if PASSED not in value:
            explain = take_explain(value)
            many = "records" in value
            records = records_of(value) if many else [value]
            check_count(len(records))
            return cls(records, [{} for _ in records], many, explain)
        try:
            return msgspec.convert(value[PASSED], cls)
        except msgspec.ValidationError as error:
            raise Refusal(
                422, "input", f"what `{PASSED}` holds is not what a component passes on: {error}"
            ) from error

    @property
    def answers(self) -> list[Any]:
        """The answers to each record, each of which a step adds to."""
        assert self.answer is not None
        return list(self.answer.get("predictions") or ()) if self.many else [self.answer]

    def given(self) -> dict[str, Any]:
        """The result of the component that has made this of what it got."""
        if self.answer is not None and not self.left:
            return self.answer
        return {PASSED: msgspec.to_builtins(self)}


class WholeFunction:
    """A function with its steps in one process: of one record or {"records": [...]}, and `explain` beside a record."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, value: dict[str, Any]) -> Given:
        explained = False
        if all(field.name != "explain" for field in self._service.steps.inputs):
            explained = take_explain(value)
        return (self._service.explain if explained else self._service.predict)(value)


class Model:
    """The model of a function whose steps are components of their own.

    Raises:
        PackageError: the function takes a column whose name means something else in a sequence.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        taken = sorted(_TAKEN & {field.name for field in service.steps.inputs})
        if taken:
            raise PackageError(f"a function that takes a column {taken[0]!r} cannot be a sequence")

    def __call__(self, value: dict[str, Any]) -> Given:
        if value == {PASSED: SAMPLES}:
            return {PASSED: self._samples()}, ()
        passed = Passed.of(value)
        if passed.answer is not None:
            raise Refusal(422, "input", f"what `{PASSED}` holds has been answered already")
        package, steps = self._service.served(), self._service.steps
        if not passed.records:  # nobody asks anything, but whether it answers
            answer: dict[str, Any] = {"name": package.name, "version": package.version, "predictions": []}
            rows: Sequence[Row] = ()
        else:
            asked = self._service.explain if passed.explain else self._service.predict
            records: Any = {"records": passed.records} if passed.many else passed.records[0]
            answer, rows = asked(records, lambda records, score: steps.between(records, passed.made, score))
        known = merged(passed.records, passed.made)
        return Passed(known, [{} for _ in known], passed.many, answer=answer, left=steps.after).given(), rows

    def _samples(self) -> dict[str, list[Any]]:
        """Requests that the function takes, each with its answer; those that a step refuses are left out."""
        service = self._service
        asked, answers = [], []
        for sample in service.served().samples.records[:_SAMPLES]:
            record = service.steps.example(sample)
            try:
                [answer] = service.score([record]).answers
            except (Refusal, StepError):
                continue
            asked.append(record)
            answers.append(answer)
        return {"records": asked, "predictions": answers}


class OneStep:
    """A step that any function may have among its components, before its model or after it."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._lock = Lock()

    def __call__(self, value: dict[str, Any]) -> Given:
        passed = Passed.of(value)
        try:
            if passed.answer is None:
                self._step.check(_known(passed.records, passed.made))
                step_by_step(self._step, passed.records, passed.made, self._lock)
            else:
                self._after(passed)
        except InputError as error:
            raise unfit(error) from error
        return passed.given(), ()

    def _after(self, passed: Passed) -> None:
        if passed.left[:1] != [self._step.name]:
            raise Refusal(422, "input", f"the step {self._step.name} is asked, and left are {passed.left}")
        answers = [
            {name: entry for name, entry in answer.items() if name not in _ABOUT} for answer in passed.answers
        ]
        made: list[dict[str, Any]] = [{} for _ in answers]
        known = merged(passed.records, answers)
        self._step.check(known)
        step_by_step(self._step, known, made, self._lock)
        for answer, more in zip(passed.answers, made, strict=True):
            answer.update(more)
        del passed.left[0]


def take_explain(value: dict[str, Any]) -> bool:
    """Take `explain` out of a value. Raises Refusal (422)."""
    given = value.pop("explain", False)
    if given not in (True, False, "true", "false"):  # what a web action has of its query is text
        raise Refusal(422, "input", f"explain is {describe(given)}, expected true or false")
    return given in (True, "true")


def _known(records: Sequence[Any], made: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [
        {**record, **more} if isinstance(record, Mapping) else record
        for record, more in zip(records, made, strict=True)
    ]
