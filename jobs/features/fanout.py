"""Finds ids that are there more than once: most often a join by a key that the other side repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def fault(frame: DataFrame, id_: str, sources: Mapping[str, Sequence[str]]) -> str | None:
    """What is wrong with the ids, or None where each is there once.

    `sources`: the columns of each source. The columns in which rows of the same id differ came with the join that
    multiplied them, so a source that has them is named as the likely one.
    """
    from pyspark.sql import functions as F

    repeated = frame.groupBy(id_).count().where("count > 1")
    found = repeated.agg(F.count("*").alias("ids"), F.sum("count").alias("rows")).first()
    assert found is not None
    if not found["ids"]:
        return None
    examples = repeated.orderBy(F.desc("count"), id_).limit(5).collect()
    shown = ", ".join(f"{row[id_]!r} ({row['count']} rows)" for row in examples)
    differing = _differing(frame, id_, [row[id_] for row in examples])
    return (
        f"fan-out: {found['ids']} values of {id_!r} are there more than once ({found['rows']} rows), "
        f"for example {shown}; {_blame(differing, sources)}"
    )


def _differing(frame: DataFrame, id_: str, ids: Sequence[object]) -> list[str]:
    """The columns that have several values (null counts as one) within one of these ids."""
    from pyspark.sql import functions as F

    others = [name for name in frame.columns if name != id_]
    counts = [
        (F.count_distinct(F.col(name)) + F.max(F.col(name).isNull().cast("int"))).alias(name)
        for name in others
    ]
    rows = frame.where(F.col(id_).isin(list(ids))).groupBy(id_).agg(*counts).collect()
    return [name for name in others if any(row[name] > 1 for row in rows)]


def _blame(differing: Sequence[str], sources: Mapping[str, Sequence[str]]) -> str:
    if not differing:
        return (
            "rows of the same id are equal in every column: a source holds them twice, or a join multiplied them "
            "by a key that is there twice on its other side"
        )
    columns = ", ".join(differing[:8])
    suspects = [
        name
        for name, own in sources.items()
        # A column that several sources have (a join's key) tells nothing.
        if any(
            column in own and sum(column in others for others in sources.values()) == 1
            for column in differing
        )
    ]
    if suspects:
        return f"they differ in {columns}: likely the join with {' or '.join(suspects)}, whose key is not unique there"
    return f"they differ in {columns}: likely the join that brings these columns"
