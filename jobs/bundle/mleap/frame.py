"""The columns of a row as they pass through a pipeline, each under the name that it has in the bundle.

A function gives a number's null to the bundle as NaN, and a text's as null. An input that a node reads as not nullable
(Bundle.ML says so of each) must not be null: the function refuses such a row before it is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from jobs.bundle.errors import UnsupportedStage, no_column, wrong_kind
from jobs.bundle.field import Field, FieldType
from jobs.bundle.mleap.bundle import Bundle

#: What becomes of a null: there is none, or it is NaN, or the bundle refuses the row where Spark lets null pass.
Null = Literal["never", "nan", "refused"]


@dataclass(frozen=True)
class Number:
    """A column of numbers. `codes`, where known, promises a whole number in [0, codes).

    `text` is the column that has its values as Spark writes them, where that is an input of the function.
    """

    name: str
    type: FieldType
    null: Null
    codes: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Text:
    """A column of texts, which may be null."""

    name: str


@dataclass(frozen=True)
class Vector:
    """A column of vectors of `size` numbers."""

    name: str
    size: int
    null: Null


Column = Number | Text | Vector


@dataclass(frozen=True)
class Scores:
    """What the last predictor answers: the columns of `prediction`, and of `probability` where it has classes."""

    prediction: str
    probability: str | None
    classes: int | None

    @property
    def outputs(self) -> dict[str, str]:
        """Its columns by port."""
        found = {"prediction": self.prediction, "probability": self.probability}
        return {port: name for port, name in found.items() if name is not None}


@dataclass
class Frame:
    """The columns at one point of a pipeline, by Spark's name for them, and the last predictor's answer."""

    bundle: Bundle
    columns: dict[str, Column] = field(default_factory=dict)
    scores: Scores | None = None

    def column(self, name: str, stage: str) -> Column:
        """The column of that name. Raises BundleError when there is none."""
        if name not in self.columns:
            raise no_column(name, stage, self.columns)
        return self.columns[name]

    def number(self, name: str, stage: str) -> Number:
        """The column of numbers of that name. Raises BundleError when there is none."""
        column = self.column(name, stage)
        if not isinstance(column, Number):
            raise wrong_kind(name, stage, column, "a number")
        return column

    def vector(self, name: str, stage: str) -> Vector:
        """The column of vectors of that name. Raises BundleError when there is none."""
        column = self.column(name, stage)
        if not isinstance(column, Vector):
            raise wrong_kind(name, stage, column, "a vector")
        return column


def edge(bundle: Bundle, inputs: Sequence[Field]) -> Frame:
    """The frame of a function's inputs.

    The bundle reads an input by its own name; a number as Spark writes it as text is another column (`text_of`).
    """
    return Frame(bundle, {item.name: _input(item) for item in inputs})


def text_of(name: str) -> str:
    """The column that has an input's numbers as text: 3 of a whole column, 3.0 of a double's, true of a boolean's."""
    return f"\u00b7text\u00b7{name}"


def unsupported(stage: str, name: str, why: str) -> UnsupportedStage:
    """What MLeap has no form for; `why` goes on after the name of the column."""
    return UnsupportedStage(
        f"{stage} on the column {name!r} has no form in MLeap: {why}",
        next_step="change the stage as it says, or let the function be of the kind onnx",
    )


def _input(item: Field) -> Column:
    if item.type == "string":
        return Text(item.name)
    return Number(item.name, item.type, "nan", text=text_of(item.name))
