"""One step of a function: a user's own Python before or after the model, `steps/NAME/step.py` of the package.

It says in TAKES and GIVES which columns it reads and makes, each with its type, and in EXAMPLES, pairs of the two, what it
must give; `run(record)` makes the one from the other. What is executed are the very bytes whose digest was checked.
"""

from __future__ import annotations

import linecache
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import ExecutionLoader
from importlib.util import decode_source, module_from_spec, spec_from_loader
from types import ModuleType
from typing import Any, NoReturn, get_args

from penstock_function.package import Field, FieldType, PackageError, source_of
from penstock_function.records import CONVERT, MAX_FAULTS, Encoder, InputError, describe

#: What a step after the model may take of its answer beside columns: an object with a number for each class.
PROBABILITY, OBJECT = "probability", "object"


class StepError(Exception):
    """A step failed: it raised what is no refusal, or gave what it does not say that it gives."""


class Step:
    """A step as its file declares it: what it `takes` and `gives` (types by name), and `examples` of both.

    Raises:
        PackageError: the file does not import, or lacks one of its four parts or has a wrong one.
    """

    def __init__(self, name: str, source: bytes) -> None:
        self.name = name
        self._file = source_of(name)
        module = self._imported(source)
        self.takes: Mapping[str, str] = self._types(module, "TAKES", [*get_args(FieldType), OBJECT])
        self.gives: Mapping[str, FieldType] = self._types(module, "GIVES", get_args(FieldType))
        self._taken, self._given = _encoder(self.takes), _encoder(self.gives)
        run: Callable[[dict[str, Any]], Any] | None = getattr(module, "run", None)
        if run is None:
            self._fault("has no function run(record)")
        self._run = run
        self.examples = self._pairs(module)

    def check(self, records: Sequence[Any]) -> None:
        """See that records have what the step takes, where nobody has looked at them before.

        Raises:
            InputError: one has not, or in another type.
        """
        columns = [name for name, kind in self.takes.items() if kind != OBJECT]
        faults = self._taken.faults(
            [
                {name: record[name] for name in columns if name in record}
                if isinstance(record, Mapping)
                else record
                for record in records
            ]
        )
        if PROBABILITY in self.takes:
            faults += [
                {
                    "row": row,
                    "field": PROBABILITY,
                    "found": describe(record.get(PROBABILITY)),
                    "expected": "an object with a number for each class",
                }
                for row, record in enumerate(records)
                if isinstance(record, Mapping) and not isinstance(record.get(PROBABILITY), Mapping)
            ]
        if faults:
            raise InputError(faults[:MAX_FAULTS])

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What it gives for a record that has, maybe among others, what it takes.

        Raises:
            ValueError: it refuses the record, in its own words.
            StepError: it failed.
        """
        taken = {name: _typed(record[name], kind) for name, kind in self.takes.items()}
        try:
            given = self._run(taken)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:
            raise StepError(f"the step {self.name} failed: {type(error).__name__}") from error
        if faults := self._given.faults([given]):
            fault = faults[0]
            what = fault["field"] or "its answer"
            raise StepError(
                f"the step {self.name} failed: {what} is {fault['found']}, expected {fault['expected']}"
            )
        return {name: _typed(given[name], kind) for name, kind in self.gives.items()}

    def prove(self, tolerance: float) -> None:
        """Run the examples; numbers may differ by `tolerance`, relative to max(1, |x|).

        Raises:
            PackageError: naming the first that is answered otherwise, with what was found and what is expected.
        """
        for number, (record, expected) in enumerate(self.examples):
            try:
                found = self(record)
            except (ValueError, StepError) as error:
                raise PackageError(
                    f"example {number} of {self._file}: {type(error).__name__}: {error}, expected {expected!r:.200}"
                ) from error
            if not all(_same(found[name], expected[name], tolerance) for name in self.gives):
                raise PackageError(
                    f"example {number} of {self._file}: found {found!r:.200}, expected {expected!r:.200}"
                )

    def _imported(self, source: bytes) -> ModuleType:
        name = f"step_{self.name}"
        spec = spec_from_loader(name, _Loader(self._file, source))
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module  # where libraries look for the module of a class
        linecache.cache.pop(self._file, None)  # of another package's step of that name
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise PackageError(f"{self._file} does not import: {type(error).__name__}: {error}") from error
        return module

    def _types(self, module: ModuleType, part: str, allowed: Any) -> Any:
        found = getattr(module, part, None)
        if not isinstance(found, dict) or not all(isinstance(name, str) and name for name in found):
            self._fault(f"needs {part}, the types of columns by their names; it is {describe(found)}")
        for name, kind in found.items():
            if kind not in allowed or (kind == OBJECT) != (name == PROBABILITY and OBJECT in allowed):
                expected = OBJECT if name == PROBABILITY else ", ".join(get_args(FieldType))
                self._fault(f"has {part}[{name!r}] = {kind!r:.80}, expected a type of {expected}")
        return dict(found)

    def _pairs(self, module: ModuleType) -> tuple[tuple[dict[str, Any], dict[str, Any]], ...]:
        examples = getattr(module, "EXAMPLES", None)
        if not isinstance(examples, list) or not examples:
            self._fault("needs EXAMPLES, a list of one or more pairs: what it takes, and what it then gives")
        for number, pair in enumerate(examples):
            if (
                not isinstance(pair, tuple)
                or len(pair) != 2
                or not all(isinstance(half, dict) for half in pair)
            ):
                self._fault(f"has in EXAMPLES[{number}] {pair!r:.80}, expected a pair of dicts")
            record, given = pair
            numbers = {name: value for name, value in record.items() if name != PROBABILITY}
            if PROBABILITY in self.takes and not isinstance(record.get(PROBABILITY), dict):
                self._fault(f"has in EXAMPLES[{number}] no {PROBABILITY}, expected a number for each class")
            for half, columns in ((numbers, self._taken), (given, self._given)):
                if faults := columns.faults([half]):
                    self._fault(f"has a wrong EXAMPLES[{number}]: {InputError(faults)}")
        return tuple(examples)

    def _fault(self, sentence: str) -> NoReturn:
        raise PackageError(f"{self._file} {sentence}")


class _Loader(ExecutionLoader):
    """Imports a file that is in memory, and shows its lines in tracebacks."""

    def __init__(self, path: str, source: bytes) -> None:
        self._path = path
        self._source = source

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_source(self, fullname: str) -> str:
        return decode_source(self._source)


def _encoder(types: Mapping[str, Any]) -> Encoder:
    return Encoder([Field(name, kind) for name, kind in types.items() if kind != OBJECT])


def _typed(value: Any, kind: str) -> Any:
    if kind == OBJECT:
        return dict(value)
    return None if value is None else CONVERT[kind](value)  # type: ignore[index]


def _same(found: Any, expected: Any, tolerance: float) -> bool:
    if isinstance(found, float) and expected is not None:
        return math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance)
    return bool(found == expected)
