"""features: runs the user's function, checks what it returns, and writes it split by time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jobs.common.job import Done, Work
from jobs.common.progress import Progress
from jobs.features.contract import Contract, check_columns, types_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from jobs.features.load import Part
    from jobs.features.profile import Profile

_STEPS = 5


def run(work: Work) -> Done:
    """Make the training data of one window.

    Raises:
        DataError: intervals of a source differ, a split has no rows, the label has one class.
        UserCodeError: model.py raised, or what `features()` returned breaks the contract; every fault is named.
    """
    from jobs.common.spark import lease
    from jobs.features import load

    parts = load.parts(work)
    with lease(work, sum(part.rows for own in parts.values() for part in own)) as spark:
        return _run(work, spark, parts)


def _run(work: Work, spark: SparkSession, parts: Mapping[str, Sequence[Part]]) -> Done:
    from jobs.common import usercode
    from jobs.common.spark import cached, said
    from jobs.features import checks, load
    from jobs.features.profile import SPLITS, label_counts, profile, with_split

    contract = Contract.of(work.spec)
    progress = Progress("features", _STEPS)
    code = usercode.load(work.request.pipeline, work.settings.dags, spark)
    sources = load.sources(work, spark, parts)
    progress.advance(note=f"{len(sources)} sources loaded")
    frame = check_columns(code.call("features", spark, dict(sources)), contract)
    columns = types_of(frame)
    with cached(with_split(frame, contract)) as rows:
        with code.blamed("features()"):
            found = profile(rows, columns, contract)
            counts = label_counts(rows, contract.label) if contract.task != "regression" else None
        progress.advance(note=f"{found.rows(*SPLITS)} rows made")
        checks.check_rows(rows, found, contract, {name: source.columns for name, source in sources.items()})
        classes = None if counts is None else checks.check_classes(counts, contract)
        progress.advance(note="rows checked")
        with code.blamed("features()"):
            _write_reference(work, rows, found, contract, counts)
            progress.advance(note="reference written")
            for split in SPLITS:
                _write(work, spark, rows, split, found.splits[split].rows, contract.id)
        progress.advance(note="splits written")
    return Done(
        digest=found.digest,
        outputs=[*SPLITS, "reference.json"],
        summary={
            "rows": {name: split.rows for name, split in found.splits.items() if name != "timeless"},
            "columns": columns,
            "classes": classes,
            "window": work.spec["window"],
            "validation_start": work.spec["validation_start"],
            "holdout_start": work.spec["holdout_start"],
            **said(spark),
        },
    )


def _write(work: Work, spark: SparkSession, rows: DataFrame, split: str, count: int, id_: str) -> None:
    from jobs.common.spark import by_id, output_uri
    from jobs.features.profile import SPLIT

    part = rows.where(rows[SPLIT] == split).drop(SPLIT)
    with output_uri(work, spark, split) as place:
        by_id(part, id_, count).write.parquet(place)


def _write_reference(
    work: Work,
    rows: DataFrame,
    found: Profile,
    contract: Contract,
    counts: Mapping[str, Sequence[tuple[Any, int]]] | None,
) -> None:
    from jobs.features import reference
    from jobs.features.profile import SPLIT

    fitted = ("train", "validation")
    part = rows.where(rows[SPLIT].isin(*fitted)).drop(SPLIT)
    value = {
        "format": 1,
        "of": fitted,
        "rows": found.rows(*fitted),
        "splits": {name: found.splits[name].rows for name in (*fitted, "holdout")},
        "window": work.spec["window"],
        "columns": reference.describe(part, found.columns, contract.roles),
        "labels": counts,
    }
    path = work.scratch / "reference.json"
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    work.put(path, "reference.json")
