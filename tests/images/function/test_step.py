"""One step: what its file must have, and what it answers, refuses and fails at."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_function.package import PackageError
from penstock_function.step import Step, StepError

CLOCK = """
TAKES = {"departure": "string"}
GIVES = {"hour": "int", "late": "double"}
EXAMPLES = [({"departure": "05:15"}, {"hour": 5, "late": 0.25})]

def run(record):
    hour, _, minutes = record["departure"].partition(":")
    return {"hour": int(hour), "late": int(minutes) / 60}
"""


def step(source: str = CLOCK, **changes: str) -> Step:
    """The step of a source, in which a part is written otherwise."""
    for part, value in changes.items():
        lines = [f"{part} = {value}" if line.startswith(part) else line for line in source.splitlines()]
        source = "\n".join(lines)
    return Step("clock", source.encode())


def answering(body: str, **changes: str) -> Step:
    """The step whose `run` has this body."""
    return step(CLOCK.partition("def run")[0] + f"def run(record):\n    {body}\n", **changes)


def test_a_step_answers() -> None:
    """It is told what it takes alone, and gives the types that it says."""
    clock = step()
    assert clock({"departure": "23:30", "more": 1}) == {"hour": 23, "late": 0.5}
    assert answering("return {'hour': len(record), 'late': 1}")({"departure": None, "more": 1}) == {
        "hour": 1,
        "late": 1.0,
    }
    clock.prove(1e-9)


@given(st.sampled_from(["string", "double", "float", "long", "int", "boolean"]), st.data())
def test_what_it_takes_has_its_type(kind: str, data: st.DataObject) -> None:
    """A whole number that JSON wrote as 3.0 is one in the step too, and 3 a double where it takes doubles; null is None."""
    values: dict[str, Any] = {
        "string": "x", "double": 3, "float": 3, "long": 3.0, "int": 3.0, "boolean": True
    }  # fmt: skip
    types = {"string": str, "double": float, "float": float, "long": int, "int": int, "boolean": bool}
    value = data.draw(st.sampled_from([values[kind], None]))
    seen = answering(
        "return {'type': type(record['x']).__name__}",
        TAKES=f"{{'x': '{kind}'}}", GIVES="{'type': 'string'}", EXAMPLES="[({'x': None}, {'type': 'NoneType'})]",
    )  # fmt: skip
    assert seen({"x": value}) == {"type": "NoneType" if value is None else types[kind].__name__}


def test_a_refusal_has_the_steps_words() -> None:
    """A ValueError is the record's fault."""
    with pytest.raises(ValueError, match="invalid literal for int"):
        step()({"departure": "noon"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return {}['x']", "the step clock failed: KeyError"),
        ("raise SystemExit(1)", "the step clock failed: SystemExit"),
        ("return run(record)", "the step clock failed: RecursionError"),
        ("return None", "its answer is null, expected an object"),
        ("return {'hour': 5}", "late is no such field"),
        ("return {'hour': 5, 'late': 1, 'more': 1}", "more is an unknown field"),
        ("return {'hour': 5.5, 'late': 1}", "hour is 5.5, expected a whole number"),
        ("return {'hour': 5, 'late': float('nan')}", "late is nan, expected a finite number"),
        ("return {'hour': True, 'late': 1}", "hour is true, expected a whole number"),
    ],
)
def test_a_failure_names_the_step(body: str, said: str) -> None:
    """Whatever else it raises, and an answer that is not what it says: the function's fault, with the cause."""
    with pytest.raises(StepError) as failed:
        answering(body)({"departure": "05:15"})
    assert said in str(failed.value)


def test_a_traceback_shows_the_steps_lines() -> None:
    """They are read from the package, which need not be where a file of that name is."""
    with pytest.raises(StepError) as failed:
        answering("return {}['x']")({"departure": "05:15"})
    lines = "".join(traceback.format_exception(failed.value))
    assert 'File "steps/clock/step.py"' in lines
    assert "return {}['x']" in lines


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TAKES": "1/0"}, "does not import: ZeroDivisionError: division by zero"),
        ({"TAKES": "exit(1)"}, "does not import: SystemExit"),
        ({"TAKES": "{"}, "does not import: SyntaxError"),
        ({"TAKES": "__import__('no_such_library')"}, "does not import: ModuleNotFoundError: No module named"),
        ({"TAKES": "None"}, "needs TAKES, the types of columns by their names; it is null"),
        ({"TAKES": "{1: 'int'}"}, "needs TAKES"),
        ({"TAKES": "{'x': 'text'}"}, "has TAKES['x'] = 'text', expected a type of string, double"),
        ({"TAKES": "{'x': 'object'}"}, "has TAKES['x'] = 'object', expected a type of string, double"),
        (
            {"TAKES": "{'probability': 'double'}"},
            "TAKES['probability'] = 'double', expected a type of object",
        ),
        ({"GIVES": "[]"}, "needs GIVES"),
        ({"GIVES": "{'probability': 'object'}"}, "has GIVES['probability'] = 'object'"),
        ({"EXAMPLES": "[]"}, "needs EXAMPLES, a list of one or more pairs"),
        ({"EXAMPLES": "[{'departure': '05:15'}]"}, "has in EXAMPLES[0]"),
        (
            {"EXAMPLES": "[({}, {})]"},
            "has a wrong EXAMPLES[0]: row 0, field 'departure': found no such field",
        ),
        ({"EXAMPLES": "[({'departure': 'x'}, {'hour': 5})]"}, "field 'late': found no such field"),
    ],
)
def test_a_file_that_is_no_step_is_refused(changes: dict[str, str], said: str) -> None:
    """With the part that is wrong, what is there and what may be."""
    with pytest.raises(PackageError) as refused:
        step(**changes)
    assert str(refused.value).startswith("steps/clock/step.py ")
    assert said in str(refused.value)


def test_a_file_without_run_is_refused() -> None:
    """Nothing could be called."""
    with pytest.raises(PackageError, match=r"steps/clock/step.py has no function run\(record\)"):
        step(CLOCK.replace("def run", "def other"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return {'hour': 6, 'late': 0.25}", "found {'hour': 6, 'late': 0.25}, expected {'hour': 5,"),
        ("return {'hour': 5, 'late': 0.2500001}", "expected {'hour': 5, 'late': 0.25}"),
        ("return {'hour': 5, 'late': None}", "found {'hour': 5, 'late': None}"),
        ("raise ValueError('nothing flies')", "ValueError: nothing flies, expected {'hour': 5"),
        ("raise KeyError", "StepError: the step clock failed: KeyError, expected {'hour': 5"),
    ],
)
def test_a_wrong_example_is_refused(body: str, said: str) -> None:
    """With what was found and what is expected; numbers may differ as far as the package's may."""
    with pytest.raises(PackageError) as refused:
        answering(body).prove(1e-9)
    assert str(refused.value).startswith("example 0 of steps/clock/step.py: ")
    assert said in str(refused.value)


def test_numbers_prove_within_the_tolerance() -> None:
    """Another machine's last digit is no other answer."""
    answering("return {'hour': 5, 'late': 0.2500001}").prove(1e-6)
