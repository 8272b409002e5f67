"""What `features()` owes: the columns that the spec names, and scalar types. Checked before any row is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from penstock.errors import UserCodeError
from penstock.spec.metrics import Task

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: Spark's scalar types and the names that a function's inputs have for them.
TYPES = {
    "string": "string", "double": "double", "float": "float", "int": "int", "bigint": "long", "boolean": "boolean",
}  # fmt: skip
_CASTS = {"smallint": "int", "tinyint": "int", "date": "string or days since a date", "timestamp": "double"}
_ID_TYPES = ("string", "int", "long")
_LABEL_TYPES: dict[Task, tuple[str, ...]] = {
    "binary": ("boolean", "int", "long", "string"),
    "multiclass": ("boolean", "int", "long", "string"),
    "regression": ("int", "long", "float", "double"),
}
#: Columns that start so are Penstock's own.
RESERVED = "_"


@dataclass(frozen=True)
class Contract:
    """The spec's part of it: which columns have a role, and where time is cut."""

    task: Task
    label: str
    time: str
    id: str
    slices: tuple[str, ...]
    sensitive: tuple[str, ...]
    start: datetime
    end: datetime
    validation_start: datetime
    holdout_start: datetime

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Contract:
        """The contract of a stage's spec (jobs are given times in ISO format)."""
        return cls(
            task=spec["task"],
            label=spec["label"],
            time=spec["time"],
            id=spec["id"],
            slices=tuple(spec["slices"]),
            sensitive=tuple(spec["sensitive"]),
            start=datetime.fromisoformat(spec["window"]["start"]),
            end=datetime.fromisoformat(spec["window"]["end"]),
            validation_start=datetime.fromisoformat(spec["validation_start"]),
            holdout_start=datetime.fromisoformat(spec["holdout_start"]),
        )

    @property
    def roles(self) -> dict[str, str]:
        """The columns that are no features, with what they are."""
        return {self.id: "id", self.time: "time", self.label: "label"}


def types_of(frame: DataFrame) -> dict[str, str]:
    """A frame's columns with the function's name of their types (Spark's own where there is none)."""
    return {name: TYPES.get(type_, type_) for name, type_ in frame.dtypes}


def check_columns(frame: object, contract: Contract) -> DataFrame:
    """The frame with its time as a timestamp, once its columns are what the contract asks for.

    Raises UserCodeError with every fault in one message.
    """
    from pyspark.sql import DataFrame

    if not isinstance(frame, DataFrame):
        raise UserCodeError(
            f"features() returned {type(frame).__name__}, expected a Spark DataFrame",
            next_step="return the DataFrame that it builds",
        )
    types = types_of(frame)
    faults = [*_missing(types, contract), *_names(frame.columns), *_types(types, contract)]
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise UserCodeError(
            f"features() broke its contract in {len(faults)} way{'s' * (len(faults) > 1)}:\n{lines}",
            next_step="mend features() in model.py",
        )
    if types[contract.time] == "timestamp_ntz":
        return frame.withColumn(contract.time, frame[contract.time].cast("timestamp"))
    return frame


def _missing(types: Mapping[str, str], contract: Contract) -> list[str]:
    asked = {**{name: f"the {role} column" for name, role in contract.roles.items()}}
    asked |= {name: "a slice of the spec" for name in contract.slices if name not in asked}
    asked |= {name: "sensitive by the spec" for name in contract.sensitive if name not in asked}
    found = ", ".join(types) or "none"
    faults = [
        f"column {name!r} ({role}) is missing; columns found: {found}"
        for name, role in asked.items()
        if name not in types
    ]
    if not set(types) - set(contract.roles):
        faults.append("there is no feature: every column is the id, the time or the label")
    return faults


def _names(columns: list[str]) -> list[str]:
    lower = [name.lower() for name in columns]  # Spark does not tell upper from lower case
    twice = sorted({name for name in columns if lower.count(name.lower()) > 1})
    odd = sorted(
        {name for name in columns if name.startswith(RESERVED) or "." in name or "`" in name or not name}
    )
    faults = [f"column {name!r} is there twice: drop or rename one before the join" for name in twice]
    return faults + [
        f"column {name!r}: a name may not be empty, start with '_' or hold a dot or backtick" for name in odd
    ]


def _types(types: Mapping[str, str], contract: Contract) -> list[str]:
    faults = []
    for name, type_ in types.items():
        role = contract.roles.get(name, "feature")
        if role == "time":
            allowed: tuple[str, ...] = ("timestamp", "timestamp_ntz")
        elif role == "id":
            allowed = _ID_TYPES
        elif role == "label":
            allowed = _LABEL_TYPES[contract.task]
        else:
            allowed = tuple(TYPES.values())
        if type_ not in allowed:
            role_said = f" (the {role} of a {contract.task} task)" if role == "label" else f" (the {role})"
            hint = _hint(type_) if role == "feature" else ""
            expected = " or ".join(item for item in allowed if item != "timestamp_ntz")
            faults.append(f"column {name!r}{role_said} has type {type_}, expected {expected}{hint}")
    return faults


def _hint(type_: str) -> str:
    target = _CASTS.get(type_, "double" if type_.startswith("decimal") else None)
    return f": cast it to {target}" if target else ""
