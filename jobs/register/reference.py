"""The reference row of a function package: a usual record, which the function compares others with to explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def row(columns: Mapping[str, Mapping[str, Any]], inputs: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The median of each number and the most frequent value of each category, of the rows that were trained on.

    `columns` is what features kept of them (jobs.features.reference.describe). A column that is null throughout is null.
    """
    return {entry["name"]: _usual(columns[entry["name"]], entry["type"]) for entry in inputs}


def _usual(column: Mapping[str, Any], type_: str) -> Any:
    if type_ not in ("string", "boolean"):
        return column["quantiles"] and column["quantiles"]["0.5"]
    if not column["top"]:
        return None
    value, _ = column["top"][0]
    return value == "true" if type_ == "boolean" else value  # categories are kept as text
