"""Judges the rows that `features()` made: labels, ids, times, empty columns, empty splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jobs.features import fanout
from jobs.features.profile import SPLIT, SPLITS, Profile, example_ids
from penstock.errors import DataError, UserCodeError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.features.contract import Contract

Counts = Mapping[str, Sequence[tuple[Any, int]]]
#: More classes than this is a number or an id that was taken for a label.
MAX_CLASSES = 100


def check_rows(
    frame: DataFrame, profile: Profile, contract: Contract, sources: Mapping[str, Sequence[str]]
) -> None:
    """Raise UserCodeError with every fault of the rows: what `features()` must never return."""
    _refuse_empty(profile, contract)
    faults = [
        *_times(frame, profile, contract),
        *_ids(frame, profile, contract, sources),
        *_labels(frame, profile, contract),
        *_features(frame, profile, contract),
    ]
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in faults)
        raise UserCodeError(
            f"the rows of features() have {len(faults)} fault{'s' * (len(faults) > 1)}:\n{lines}",
            next_step="mend features() in model.py",
        )


def check_classes(counts: Counts, contract: Contract) -> list[Any]:
    """The label's classes in index order, from train and validation.

    Raises DataError where there is one class only, more than two for a binary task, too many, or where the holdout
    has a class that training never sees.
    """
    seen = sorted({value for split in ("train", "validation") for value, _ in counts[split]})
    said = "; ".join(f"{split}: {_said(counts[split])}" for split in SPLITS)
    next_step = "look at the label in features(), or take a longer window"
    if contract.task == "binary" and len(seen) > 2:
        raise DataError(
            f"label {contract.label!r} of a binary task has {len(seen)} classes, expected two ({said})",
            next_step="make it two classes in features(), or declare task='multiclass'",
        )
    if len(seen) > MAX_CLASSES:
        raise DataError(
            f"label {contract.label!r} has {len(seen)} classes or more, at most {MAX_CLASSES} are allowed",
            next_step="group rare classes in features(), or declare task='regression'",
        )
    for split in SPLITS:
        if len(counts[split]) < 2:
            raise DataError(
                f"label {contract.label!r} has one class only in {split} ({said})", next_step=next_step
            )
    if unknown := [value for value, _ in counts["holdout"] if value not in seen]:
        raise DataError(
            f"label {contract.label!r} has classes in the holdout that training never sees: {_list(unknown)} ({said})",
            next_step=next_step,
        )
    return seen


def _refuse_empty(profile: Profile, contract: Contract) -> None:
    if empty := [name for name in SPLITS if not profile.splits[name].rows]:
        starts = {
            "train": contract.start,
            "validation": contract.validation_start,
            "holdout": contract.holdout_start,
        }
        ends = {
            "train": contract.validation_start,
            "validation": contract.holdout_start,
            "holdout": contract.end,
        }
        spans = ", ".join(f"{name} ({starts[name]:%Y-%m-%d} to {ends[name]:%Y-%m-%d})" for name in empty)
        rows = ", ".join(f"{name} {split.rows}" for name, split in profile.splits.items())
        raise DataError(
            f"features() gave no rows for {spans}; rows by {contract.time!r}: {rows}",
            next_step="look at the sources of that time, at what features() filters, and at its time column",
        )


def _times(frame: DataFrame, profile: Profile, contract: Contract) -> list[str]:
    lost = profile.splits["timeless"].rows
    if not lost:
        return []
    ids = example_ids(frame, frame[SPLIT] == "timeless", contract.id)
    return [f"time column {contract.time!r} is null in {lost} rows, for example {contract.id} {_list(ids)}"]


def _ids(
    frame: DataFrame, profile: Profile, contract: Contract, sources: Mapping[str, Sequence[str]]
) -> list[str]:
    faults = []
    if lost := profile.nulls(contract.id, *SPLITS):
        faults.append(f"id column {contract.id!r} is null in {lost} rows")
    inside = frame.where(frame[SPLIT].isin(*SPLITS)).drop(SPLIT)
    repeated = fanout.fault(inside.where(inside[contract.id].isNotNull()), contract.id, sources)
    return [*faults, repeated] if repeated else faults


def _labels(frame: DataFrame, profile: Profile, contract: Contract) -> list[str]:
    from pyspark.sql import functions as F

    label = F.col(contract.label)
    inside = F.col(SPLIT).isin(*SPLITS)
    nans = sum(profile.splits[name].label_nan for name in SPLITS)
    infinite = sum(profile.splits[name].infinite.get(contract.label, 0) for name in SPLITS)
    cases = [
        ("null", profile.nulls(contract.label, *SPLITS), label.isNull()),
        ("NaN", nans, F.isnan(label) if nans else None),
        ("infinite", infinite, F.abs(label) == float("inf") if infinite else None),
    ]
    return [
        f"label {contract.label!r} is {what} in {rows} rows, for example {contract.id} "
        f"{_list(example_ids(frame, inside & condition, contract.id))}"
        for what, rows, condition in cases
        if rows and condition is not None
    ]


def _features(frame: DataFrame, profile: Profile, contract: Contract) -> list[str]:
    from pyspark.sql import functions as F

    faults = []
    for name in profile.columns:
        if name in contract.roles:
            continue
        # A model is fitted on train alone during the search, and on both in the end.
        empty = [split for split in ("train", "holdout") if profile.nulls(name, split) == profile.rows(split)]
        if empty:
            faults.append(f"feature {name!r} is null in every row of {' and '.join(empty)}")
        if rows := sum(profile.splits[split].infinite.get(name, 0) for split in SPLITS):
            condition = F.col(SPLIT).isin(*SPLITS) & (F.abs(F.col(name)) == float("inf"))
            ids = _list(example_ids(frame, condition, contract.id))
            faults.append(f"feature {name!r} is infinite in {rows} rows, for example {contract.id} {ids}")
    return faults


def _said(counts: Sequence[tuple[Any, int]]) -> str:
    shown = ", ".join(f"{value!r} x {count}" for value, count in counts[:5])
    return shown + (" …" if len(counts) > 5 else "")


def _list(values: Sequence[object]) -> str:
    return ", ".join(repr(value) for value in values[:5]) + (" …" if len(values) > 5 else "")
