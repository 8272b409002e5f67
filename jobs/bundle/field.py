"""One input of a function: a column of `features()` by name and type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from jobs.bundle.errors import BundleError

FieldType = Literal["string", "double", "float", "long", "int", "boolean"]


@dataclass(frozen=True)
class Field:
    """A column that a function takes: `string` as tensor(string)[N], every other type as tensor(double)[N].

    Raises:
        BundleError: the type is none of `FieldType`.
    """

    name: str
    type: FieldType

    def __post_init__(self) -> None:
        if self.type not in get_args(FieldType):
            raise BundleError(
                f"input {self.name!r} is of type {self.type!r}; a function takes {', '.join(get_args(FieldType))}",
                next_step="cast the column in features(), or derive a number from it there",
            )
