"""What the model's rows looked like: the reference that later data is measured against (`reference.json`)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: Probabilities whose quantiles are kept; approximate, with a relative rank error of 1e-4 (percentile_approx).
QUANTILES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
#: Categories that are kept with their counts; the rest is counted together.
TOP = 50
_NUMBERS = ("double", "float", "int", "long")
_CATEGORIES = ("string", "boolean")


def describe(frame: DataFrame, columns: Mapping[str, str], roles: Mapping[str, str]) -> dict[str, Any]:
    """One entry a column: role, type, nulls, and range or categories, in two passes over the frame.

    Numbers: min, max, mean, std (of the sample; null for a single row) and quantiles by probability. Categories:
    how many there are, the most frequent with their counts, and the count of the rest. Times: min and max.
    """
    numbers = _numbers(frame, columns)
    categories = _categories(
        frame, [n for n, t in columns.items() if t in _CATEGORIES and roles.get(n) != "id"]
    )
    return {
        name: {"role": roles.get(name, "feature"), "type": type_, **numbers[name], **categories.get(name, {})}
        for name, type_ in columns.items()
    }


def _numbers(frame: DataFrame, columns: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    from pyspark.sql import functions as F

    asked = []
    for name, type_ in columns.items():
        value = F.col(name)
        facts = {"nulls": F.count_if(value.isNull())}
        if type_ in _NUMBERS or type_ == "timestamp":
            facts |= {"min": F.min(value), "max": F.max(value)}
        if type_ in _NUMBERS:
            facts |= {
                "mean": F.avg(value),
                "std": F.stddev_samp(value),
                "quantiles": F.percentile_approx(value, list(QUANTILES)),
            }
        asked += [fact.alias(f"{what} {name}") for what, fact in facts.items()]
    row = frame.agg(*asked).first()
    assert row is not None
    found: dict[str, dict[str, Any]] = {name: {} for name in columns}
    for title, value in row.asDict().items():
        what, _, name = title.partition(" ")
        found[name][what] = _plain(what, value)
    return found


def _plain(what: str, value: Any) -> Any:
    if what == "quantiles":
        return None if value is None else {str(p): q for p, q in zip(QUANTILES, value, strict=True)}
    if isinstance(value, datetime):
        return f"{value.isoformat()}+00:00" if value.tzinfo is None else value.isoformat()
    return value


def _categories(frame: DataFrame, names: list[str]) -> dict[str, dict[str, Any]]:
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if not names:
        return {}
    pairs = [F.struct(F.lit(name).alias("name"), F.col(name).cast("string").alias("value")) for name in names]
    counts = (
        frame.select(F.explode(F.array(*pairs)).alias("pair"))
        .select("pair.name", "pair.value")
        .where("value is not null")
        .groupBy("name", "value")
        .count()
    )
    whole = Window.partitionBy("name")
    ranked = counts.select(
        "*",
        F.row_number().over(whole.orderBy(F.desc("count"), "value")).alias("rank"),
        F.count("*").over(whole).alias("distinct"),
        F.sum("count").over(whole).alias("rows"),
    ).where(F.col("rank") <= TOP)
    found: dict[str, dict[str, Any]] = {name: {"distinct": 0, "top": [], "other": 0} for name in names}
    for row in ranked.orderBy("name", "rank").collect():
        entry = found[row["name"]]
        if not entry["top"]:
            entry |= {"distinct": row["distinct"], "other": row["rows"]}
        entry["top"].append([row["value"], row["count"]])
        entry["other"] -= row["count"]
    return found
