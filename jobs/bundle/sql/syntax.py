"""The syntax tree of a statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Choice

LiteralKind = Choice["int", "long", "decimal", "float", "double", "string", "boolean", "null"]


@dataclass(frozen=True)
class Literal:
    """A constant, as it is written (a number's suffix left off)."""

    kind: LiteralKind
    text: str


@dataclass(frozen=True)
class Column:
    """A column by its name."""

    name: str


@dataclass(frozen=True)
class Call:
    """A function, or an operator by its sign (`+`, `and`, `is null`), of its arguments."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Case:
    """CASE WHEN: (condition, value) in order, and the value if none holds."""

    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression


@dataclass(frozen=True)
class Cast:
    """CAST(value AS type), the type by Spark's short name."""

    value: Expression
    type: Choice["double", "float", "int", "long", "boolean"]


Expression = Literal | Column | Call | Case | Cast


@dataclass(frozen=True)
class Star:
    """Every column, less some."""

    without: frozenset[str]


@dataclass(frozen=True)
class Item:
    """An expression and the name of the column that it makes."""

    expression: Expression
    name: str


Select = tuple[Star | Item, ...]
