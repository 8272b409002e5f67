"""Decides what a scaffold over a CSV is: its task, roles and features, from the columns that it holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from penstock.cli.columns import Column, Table
from penstock.cli.plan import Plan
from penstock.errors import PenstockError
from penstock.spec.metrics import Task

#: A text column of more values than this is a name or free text rather than a category.
_MAX_CATEGORIES = 100
#: A whole number with more values than this is a quantity rather than a class.
_MAX_CLASSES = 20
_MIN_DAYS = 5
#: The share of the data that judges the model, as in most textbooks' train and test split.
_HOLDOUT = 0.2
#: Names that a function's answer or Spark's own columns have.
_TAKEN = {"prediction", "probability", "rawPrediction", "features", "invalid"}


def plan(
    name: str, table: Table, uri: str, *, label: str, time: str | None, id: str | None, task: Task | None
) -> Plan:
    """The plan for a CSV: what was not said is taken from its columns.

    Raises PenstockError where a column is not there or not fit for its role, or where none can be chosen.
    """
    target = _column(table, label, "--label")
    at = (
        _column(table, time, "--time")
        if time
        else _only(table, "--time", lambda c: c.type == "timestamp" and not c.nulls)
    )
    if at.first is None or at.last is None or at.type != "timestamp":
        raise PenstockError(
            f"column {at.name!r} cannot be the time: it holds {at.type}, expected times as in 2013-06-01T10:00:00",
            next_step="name a column of ISO times by --time",
        )
    key = _column(table, id, "--id") if id else _first_id(table, {target.name, at.name})
    if not key.unique or key.type not in ("string", "long"):
        raise PenstockError(
            f"column {key.name!r} cannot be the id: {'its values repeat' if not key.unique else f'it holds {key.type}'}",
            next_step="name a column of text or whole numbers by --id that is different in every row",
        )
    for role in (target, at, key):
        if why := _unfit_name(role.name):
            raise PenstockError(
                f"column {role.name!r} cannot be used: {why}", next_step="rename it in the file"
            )
    chosen = task or _task(target)
    _check_label(target, chosen)
    start = at.first.replace(hour=0, minute=0, second=0, microsecond=0)
    end = at.last.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    span = (end - start).days
    if span < _MIN_DAYS:
        raise PenstockError(
            f"the rows span {span} days ({start:%Y-%m-%d} to {end:%Y-%m-%d}), expected at least {_MIN_DAYS}",
            next_step="give a file with more history: the newest part judges what was learned from the rest",
        )
    rest = [column for column in table.columns if column.name not in (target.name, at.name, key.name)]
    left_out = {column.name: why for column in rest if (why := _unfit(column))}
    used = [column for column in rest if column.name not in left_out]
    categories = [column for column in used if column.type in ("string", "boolean")]
    numbers = [column for column in used if column.type in ("long", "double")]
    if not used:
        raise PenstockError(
            f"no column is left to learn from: {'; '.join(f'{n}: {w}' for n, w in left_out.items()) or 'there are none'}",
            next_step="give a file with more columns",
        )
    return Plan(
        name=name,
        problem=f"What is {target.name} of each row, from what is known at its {at.name}?",
        row="a line of the file",
        task=chosen,
        label=target.name,
        time=at.name,
        id=key.name,
        source="rows",
        uri=uri,
        schedule=None,
        start=f"{start:%Y-%m-%d}",
        end=f"{end:%Y-%m-%d}",
        window=f"days({span})",
        holdout=f"days({max(1, round(span * _HOLDOUT))})",
        categories=[column.name for column in categories],
        numbers=[column.name for column in numbers],
        max_categories=max((len(column.values or ()) for column in categories), default=0),
        classes=len(target.values or ()),
        slices=[c.name for c in categories if c.values and 2 <= len(c.values) <= 12][:1],
        left_out=left_out,
        label_type=target.type,
    )


def _column(table: Table, name: str, option: str) -> Column:
    for column in table.columns:
        if column.name == name:
            return column
    names = ", ".join(column.name for column in table.columns)
    raise PenstockError(
        f"{option} is {name!r}, which the file has not; its columns: {names}", next_step="correct it"
    )


def _only(table: Table, option: str, fits: Callable[[Column], bool]) -> Column:
    found = [column for column in table.columns if fits(column)]
    if len(found) != 1:
        names = ", ".join(column.name for column in found) or "none"
        raise PenstockError(
            f"{option} is not given, and {len(found)} columns could be it: {names}",
            next_step=f"name one by {option}",
        )
    return found[0]


def _first_id(table: Table, taken: set[str]) -> Column:
    for column in table.columns:
        if column.unique and column.type in ("string", "long") and column.name not in taken:
            return column
    raise PenstockError(
        "--id is not given, and no column of text or whole numbers is different in every row",
        next_step="name one by --id; if there is none, number the rows",
    )


def _task(label: Column) -> Task:
    if label.values is not None and len(label.values) == 2:
        return "binary"
    few = label.values is not None and len(label.values) <= _MAX_CLASSES
    return (
        "multiclass"
        if label.type in ("string", "boolean") or (label.type == "long" and few)
        else "regression"
    )


def _check_label(label: Column, task: Task) -> None:
    count = "many" if label.values is None else str(len(label.values))
    fits = {
        "binary": label.values is not None and len(label.values) == 2,
        "multiclass": label.values is not None and 2 <= len(label.values) <= _MAX_CATEGORIES,
        "regression": label.type in ("long", "double"),
    }
    if not fits[task]:
        raise PenstockError(
            f"column {label.name!r} cannot be the label of a {task} task: it holds {count} values of type {label.type}",
            next_step="name another by --label, or another --task",
        )


def _unfit(column: Column) -> str | None:
    """Why a column is not taken as a feature, or None where it is."""
    if why := _unfit_name(column.name):
        return why
    if column.type == "empty":
        return "it has no value"
    if column.type == "timestamp":
        return "a time; take its month or hour in features()"
    if column.values is not None and len(column.values) < 2:
        return "it has one value only"
    if column.type == "string" and (column.values is None or len(column.values) > _MAX_CATEGORIES):
        return f"text of more than {_MAX_CATEGORIES} different values"
    return None


def _unfit_name(name: str) -> str | None:
    if not name or name.startswith("_") or "." in name or "`" in name:
        return "a name may not be empty, start with '_' or hold a dot or backtick"
    return (
        "the name is taken by what the function answers"
        if name in _TAKEN or name.startswith("probability_")
        else None
    )
