"""The columns of a row as they pass through a pipeline, each a tensor of the graph.

Null and NaN. At the graph's edge a number's NaN *is* null. Inside, a column keeps a mask of its nulls apart, because
Spark tells them apart (`sqrt(-1)` is NaN, not null), and its tensor is NaN (text: `NULL_TEXT`) wherever it is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from onnx import TensorProto

from jobs.bundle.errors import no_column, wrong_kind
from jobs.bundle.field import Field, FieldType
from jobs.bundle.graph import Graph

NULL_TEXT = "\0"

NumberType = Literal["double", "float", "long", "int", "boolean"]


@dataclass(frozen=True)
class Lineage:
    """What a column was made from: the function's inputs, and the refusals that must not have happened."""

    inputs: frozenset[str] = frozenset()
    refusals: frozenset[int] = frozenset()

    def __or__(self, other: Lineage) -> Lineage:
        return Lineage(self.inputs | other.inputs, self.refusals | other.refusals)

    def refused(self, refusal: int) -> Lineage:
        """This lineage with one more refusal."""
        return Lineage(self.inputs, self.refusals | {refusal})


#: The lineage of a constant.
NOTHING = Lineage()


@dataclass(frozen=True)
class Number:
    """A scalar column: `value` float64 [N], NaN where null; `null` bool [N], None when it is never null.

    `nan` says whether a value that is not null may be NaN. A boolean is 0.0 or 1.0. `codes`, where known, promises
    a whole number in [0, codes) where it is neither null nor refused. `categories` is how many values Spark's
    attribute of the column names; None where it is a plain number to Spark.
    """

    value: str
    type: NumberType
    null: str | None
    nan: bool
    lineage: Lineage
    codes: int | None = None
    categories: int | None = None

    @property
    def may_miss(self) -> bool:
        """Whether the tensor may hold NaN at all."""
        return self.nan or self.null is not None


@dataclass(frozen=True)
class Text:
    """A string column: `value` string [N], NULL_TEXT where null; `null` bool [N], None when it is never null."""

    value: str
    null: str | None
    lineage: Lineage


@dataclass(frozen=True)
class Vector:
    """A vector column: `value` float64 [N, size]; `null` bool [N], None when it is never null.

    `one_hot` promises that at most one entry of a row is 1.0 and that Spark stores no other.
    """

    value: str
    size: int
    null: str | None
    lineage: Lineage
    one_hot: bool = False


Column = Number | Text | Vector


@dataclass(frozen=True)
class Refusal:
    """Rows that a stage refuses: `mask` bool [N, len(columns)], true where the column of that name is refused.

    `drops` tells a stage that drops the row whatever is asked of it (skip) from one that raises when its output is
    computed (error): Spark computes only what the answer needs.
    """

    mask: str
    columns: tuple[str, ...]
    drops: bool
    lineage: Lineage


@dataclass(frozen=True)
class Scores:
    """What the last predictor answers: `prediction` float64 [N]; `raw` and `probability` float64 [N, classes] or None.

    A regressor has neither, and some classifiers have no probability.
    """

    prediction: str
    raw: str | None
    probability: str | None
    classes: int | None
    lineage: Lineage


@dataclass
class Frame:
    """The columns at one point of a pipeline, what refused rows so far, and the last predictor's answer."""

    graph: Graph
    columns: dict[str, Column] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    scores: Scores | None = None

    def column(self, name: str, stage: str) -> Column:
        """The column of that name. Raises BundleError when there is none."""
        if name not in self.columns:
            raise no_column(name, stage, self.columns)
        return self.columns[name]

    def number(self, name: str, stage: str) -> Number:
        """The numeric or boolean column of that name. Raises BundleError when there is none."""
        column = self.column(name, stage)
        if not isinstance(column, Number):
            raise wrong_kind(name, stage, column, "a number")
        return column

    def scalar(self, name: str, stage: str) -> Number | Text:
        """The column of that name, which is no vector. Raises BundleError when there is none."""
        column = self.column(name, stage)
        if isinstance(column, Vector):
            raise wrong_kind(name, stage, column, "a single value")
        return column

    def numeric(self, name: str, stage: str) -> Number | Vector:
        """The column of that name, which is no text. Raises BundleError when there is none."""
        column = self.column(name, stage)
        if isinstance(column, Text):
            raise wrong_kind(name, stage, column, "a number or vector")
        return column

    def present_vector(self, name: str, stage: str) -> Vector:
        """The vector column of that name, rows refused where it is null (Spark fails on those).

        Raises BundleError when there is none.
        """
        column = self.column(name, stage)
        if not isinstance(column, Vector):
            raise wrong_kind(name, stage, column, "a vector")
        if column.null is None:
            return column
        refusal = self.refuse(name, column, column.null, drops=False)
        return Vector(column.value, column.size, None, column.lineage.refused(refusal))

    def refuse(self, name: str, column: Column, mask: str, *, drops: bool) -> int:
        """Refuse the rows where `mask` bool [N] holds, for what stands in a column. Returns the refusal's number."""
        return self.refuse_any([(name, column)], self.graph.column(mask), drops=drops)

    def refuse_any(self, refused: Sequence[tuple[str, Column]], mask: str, *, drops: bool) -> int:
        """Refuse rows where `mask` bool [N, len(refused)] is true anywhere; the leftmost true column is named.

        A derived column is reported as the function's input that it was made from, when that is one.
        """
        lineage = Lineage()
        names = []
        for name, column in refused:
            lineage |= column.lineage
            names.append(next(iter(column.lineage.inputs)) if len(column.lineage.inputs) == 1 else name)
        self.refusals.append(Refusal(mask, tuple(names), drops, lineage))
        return len(self.refusals) - 1


def edge(graph: Graph, inputs: Sequence[Field]) -> Frame:
    """The frame of a function's inputs: one rank-1 graph input per field, in order."""
    return Frame(graph, {item.name: _input(graph, item.name, item.type) for item in inputs})


def _input(graph: Graph, name: str, kind: FieldType) -> Column:
    lineage = Lineage(frozenset([name]))
    if kind == "string":
        value = graph.input(name, TensorProto.STRING)
        return Text(value, graph.op("Equal", value, graph.strings([NULL_TEXT])), lineage)
    value = graph.input(name, TensorProto.DOUBLE)
    if kind == "float":
        # What Spark holds is the nearest float: 0.1 is 0.100000001490116 there.
        value = rounded_to_float(graph, value)
    return Number(value, kind, graph.op("IsNaN", value), False, lineage)


def rounded_to_float(graph: Graph, value: str) -> str:
    """Doubles rounded to the nearest float, still as double."""
    return graph.cast(graph.cast(value, TensorProto.FLOAT), TensorProto.DOUBLE)
