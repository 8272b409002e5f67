"""The steps of a function around its model: what it takes by them, what they add to an answer, and how a record goes through.

Each step takes of a record what is known of it by its turn: what the function was given, what earlier steps gave and, after
the model, `prediction` and `probability`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

from penstock_function.package import Field, FieldType, Package, PackageError
from penstock_function.records import MAX_FAULTS, Encoder, Fault, InputError
from penstock_function.step import OBJECT, PROBABILITY, Step

Records = Sequence[Mapping[str, Any]]

#: What an answer holds of itself, and OpenWhisk's word for one that is none.
_RESERVED = frozenset(
    {"name", "version", "prediction", "predictions", PROBABILITY, "explanation", "error", "invalid"}
)
_CHARACTERS = 300  # of a step's own words in a refusal


class Steps:
    """The proven steps of one package, none of them called twice at once: a step need not be safe for threads.

    `inputs` is what the function takes, `gives` what an answer has beside the model's; a package without steps takes the
    model's columns and adds nothing.

    Raises:
        PackageError: a step cannot be loaded, does not fit those around it, or gives another answer to an example than it
            must.
    """

    def __init__(self, package: Package) -> None:
        self._columns = [field.name for field in package.inputs]
        self._before = [Step(name, source) for name, source in package.before.items()]
        self._after = [Step(name, source) for name, source in package.after.items()]
        self.alone = not self._before and not self._after
        self.inputs = _inputs(self._before, package)
        self.gives = _gives(self._before, self._after, self.inputs, package)
        for step in (*self._before, *self._after):
            step.prove(package.tolerance)
        self._encoder = Encoder(self.inputs)
        self._lock = Lock()

    def around(
        self, records: Records, score: Callable[[Records], list[dict[str, Any]]]
    ) -> tuple[Records, list[dict[str, Any]]]:
        """The model's records that are made of the function's, and the answers of `score` to those with what steps add.

        Raises:
            InputError: a record does not fit `inputs`, or a step or `score` refuses it.
            StepError: a step failed.
        """
        if self.alone:
            return records, score(records)
        made: list[dict[str, Any]] = [{} for _ in records]
        if self._before:
            self._encoder.encode(records)
            for step in self._before:
                step_by_step(step, records, made, self._lock)
        model, answers = self._scored(records, made, score)
        if self._after:
            known = merged(records, made)
            for step in self._after:
                step_by_step(step, known, answers, self._lock)
        return model, answers

    def between(
        self,
        records: Records,
        made: Sequence[Mapping[str, Any]],
        score: Callable[[Records], list[dict[str, Any]]],
    ) -> tuple[Records, list[dict[str, Any]]]:
        """As `around`, of the model alone: `made` is what the steps before it gave for each record.

        Raises:
            InputError: a record does not fit `inputs`, or `score` refuses it.
        """
        if self._before:
            self._encoder.encode(records)
        return self._scored(records, made, score)

    @property
    def after(self) -> list[str]:
        """The names of the steps after the model."""
        return [step.name for step in self._after]

    def example(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record that the function takes, like one of the model's: what steps take is of their first examples."""
        known = dict(record)
        for step in reversed(self._before):
            known.update(step.examples[0][0])
        return {field.name: known[field.name] for field in self.inputs}

    def _scored(
        self,
        records: Records,
        made: Sequence[Mapping[str, Any]],
        score: Callable[[Records], list[dict[str, Any]]],
    ) -> tuple[Records, list[dict[str, Any]]]:
        if not self._before:
            return records, score(records)
        known = merged(records, made)
        # What a component of a sequence did not get, the model's encoder tells.
        model = [{name: record[name] for name in self._columns if name in record} for record in known]
        return model, score(model)


def merged(records: Records, made: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each record with what was made of it."""
    return [{**record, **more} for record, more in zip(records, made, strict=True)]


def step_by_step(step: Step, records: Records, made: Sequence[dict[str, Any]], lock: Lock) -> None:
    """Add to what was `made` of each record what a step gives for it, which is called while `lock` is held.

    Raises:
        InputError: the step refuses records.
        StepError: it failed.
    """
    faults: list[Fault] = []
    for row, (record, more) in enumerate(zip(records, made, strict=True)):
        try:
            with lock:
                more.update(step({**record, **more}))
        except ValueError as error:
            faults.append(_refusal(row, step, error))
            if len(faults) >= MAX_FAULTS:
                break
    if faults:
        raise InputError(faults)


def _refusal(row: int, step: Step, error: ValueError) -> Fault:
    words = str(error)[:_CHARACTERS].encode("utf-8", "replace").decode() or type(error).__name__
    return {
        "row": row,
        "field": "",
        "found": f"what the step {step.name} refuses: {words}",
        "expected": f"a record that {step.name} takes",
    }


def _inputs(before: Sequence[Step], package: Package) -> tuple[Field, ...]:
    """What the function takes: going back from the model's columns, less what each step gives, and what it takes."""
    needed: dict[str, str] = {field.name: field.type for field in package.inputs}
    faults = []
    for step in reversed(before):
        for name, kind in step.gives.items():
            wanted = needed.pop(name, None)
            if wanted is None:
                faults.append(
                    f"{step.name} gives {name!r}, which nothing after it takes: the model takes"
                    f" {', '.join(field.name for field in package.inputs)}"
                )
            elif wanted != kind:
                faults.append(f"{step.name} gives {name!r} as {kind}, which is taken as {wanted}")
        for name, taken in step.takes.items():
            wanted = needed.setdefault(name, taken)
            if taken == OBJECT:
                faults.append(f"{step.name} takes {name!r}, which there is only after the model")
            elif wanted != taken:
                faults.append(f"{step.name} takes {name!r} as {taken}, which is taken after it as {wanted}")
    if not needed:
        faults.append(f"there is nothing that the function would take: {before[0].name} takes nothing")
    _refuse(faults)
    return tuple(Field(name, kind) for name, kind in needed.items())  # type: ignore[arg-type]


def _gives(
    before: Sequence[Step], after: Sequence[Step], inputs: Sequence[Field], package: Package
) -> tuple[Field, ...]:
    """What the steps after the model add to its answer."""
    known: dict[str, str] = {field.name: field.type for field in (*inputs, *package.inputs)}
    for step in before:
        known |= step.gives
    known["prediction"] = _prediction(package)
    if package.classes and package.output == PROBABILITY:
        known[PROBABILITY] = OBJECT
    added: dict[str, FieldType] = {}
    faults = []
    for step in after:
        for name, kind in step.takes.items():
            if known.get(name) != kind:
                found = f"is {known[name]} by then" if name in known else f"is not among {', '.join(known)}"
                faults.append(f"{step.name} takes {name!r} as {kind}, which {found}")
        faults += [
            f"{step.name} gives {name!r}, which an answer has already"
            for name in step.gives
            if name in _RESERVED or name in added
        ]
        added |= step.gives
        known |= step.gives
    _refuse(faults)
    return tuple(Field(name, kind) for name, kind in added.items())


def _prediction(package: Package) -> FieldType:
    if not package.classes:
        return "double"
    return "long" if all(type(value) is int for value in package.classes) else "string"


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise PackageError(f"the steps do not fit: {'; '.join(faults)}")
