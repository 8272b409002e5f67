"""The problem that training solves, as a value: the spec's part of it and what features found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jobs.bundle.field import Field
from penstock.runtimes import Kind
from penstock.spec.metrics import Direction, Task
from penstock.spec.search import SearchSpace

Split = Literal["train", "validation", "holdout"]


@dataclass(frozen=True)
class Problem:
    """Columns, metric, search and classes of one training.

    `classes`: the label's own values in index order (false and true are 0 and 1), None for regression; `labels`: the
    label as it stands in the data, in the same order; `counts`: how many of each, by split; `fields`: the features;
    `bundle`: what the model is to become.
    """

    task: Task
    label: str
    time: str
    id: str
    metric: str
    better: Direction
    balance: bool
    search: SearchSpace
    bundle: Kind
    rows: Mapping[str, int]
    fields: tuple[Field, ...]
    labels: tuple[Any, ...] | None
    counts: Mapping[str, Mapping[Any, int]]

    @classmethod
    def of(cls, spec: Mapping[str, Any], reference: Mapping[str, Any]) -> Problem:
        """The problem of a train item's spec over features' reference.json."""
        columns = reference["columns"].items()
        counts = {split: dict(map(tuple, pairs)) for split, pairs in (reference["labels"] or {}).items()}
        seen = {label for split in ("train", "validation") for label in counts.get(split, {})}
        return cls(
            task=spec["task"],
            label=spec["label"],
            time=spec["time"],
            id=spec["id"],
            metric=spec["metric"],
            better=spec["better"],
            balance=spec["balance"],
            search=SearchSpace.model_validate(spec["search"]),
            bundle=spec["bundle"],
            rows=reference["splits"],
            fields=tuple(
                Field(name, column["type"]) for name, column in columns if column["role"] == "feature"
            ),
            labels=None if spec["task"] == "regression" else tuple(sorted(seen)),
            counts=counts,
        )

    @property
    def classes(self) -> list[Any] | None:
        """The classes as the function answers them."""
        if self.labels is None:
            return None
        return [int(label) if isinstance(label, bool) else label for label in self.labels]

    def weights(self, *splits: str) -> list[float]:
        """Weights by class index that make all classes count the same in these splits: n / (K * n_k)."""
        assert self.labels is not None
        totals = [sum(self.counts[split].get(label, 0) for split in splits) for label in self.labels]
        return [sum(totals) / (len(totals) * total) if total else 1.0 for total in totals]
