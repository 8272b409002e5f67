"""One pass over the rows: how many, what is missing, and the digest of each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock import keys

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from jobs.features.contract import Contract

SPLITS = ("train", "validation", "holdout")
#: The column that says which split a row is in: one of SPLITS, `outside` the window, or `timeless`.
SPLIT = "_split"

#: Pairs of split and label that are counted: far more than any label has classes.
MAX_LABELS = 3000


@dataclass(frozen=True)
class Split:
    """Rows of one split: counts by column, and sums of row hashes that do not depend on the rows' order."""

    rows: int
    nulls: Mapping[str, int]
    infinite: Mapping[str, int]
    label_nan: int
    hashes: tuple[int, int]


@dataclass(frozen=True)
class Profile:
    """What the pass found, by split; splits without rows are there with zero rows."""

    splits: Mapping[str, Split]
    columns: Mapping[str, str]

    def rows(self, *splits: str) -> int:
        """The rows of some splits together."""
        return sum(self.splits[name].rows for name in splits)

    def nulls(self, column: str, *splits: str) -> int:
        """The nulls of a column in some splits together."""
        return sum(self.splits[name].nulls.get(column, 0) for name in splits)

    @property
    def digest(self) -> str:
        """The digest of the content: names, types, order of columns, and every row of every split."""
        return keys.digest(
            {
                "columns": list(self.columns.items()),
                "splits": {
                    name: [split.rows, *map(str, split.hashes)] for name, split in self.splits.items()
                },
            }
        )


_EMPTY = Split(0, {}, {}, 0, (0, 0))


def with_split(frame: DataFrame, contract: Contract) -> DataFrame:
    """The frame with `_split`, and NaN in features made null (a label's NaN stays, to be refused)."""
    from pyspark.sql import functions as F

    time = F.col(contract.time)

    def at(moment: Any) -> Column:
        return F.lit(moment.isoformat()).cast("timestamp")

    split = (
        F.when(time.isNull(), "timeless")
        .when((time < at(contract.start)) | (time >= at(contract.end)), "outside")
        .when(time < at(contract.validation_start), "train")
        .when(time < at(contract.holdout_start), "validation")
        .otherwise("holdout")
    )
    columns = [
        F.when(~F.isnan(name), F.col(name)).alias(name)
        if _has_nan(type_) and name != contract.label
        else name
        for name, type_ in frame.dtypes
    ]
    return frame.select(*columns, split.alias(SPLIT))


def profile(frame: DataFrame, columns: Mapping[str, str], contract: Contract) -> Profile:
    """Count and digest a frame that has its `_split`."""
    from pyspark.sql import functions as F

    doubles = [name for name, type_ in columns.items() if _has_nan(type_)]
    label_has_nan = _has_nan(columns[contract.label])
    asked = [
        F.count(F.lit(1)).alias("rows"),
        *[F.count_if(F.col(name).isNull()).alias(f"null {name}") for name in columns],
        *[F.count_if(F.abs(name) == float("inf")).alias(f"inf {name}") for name in doubles],
        (F.count_if(F.isnan(contract.label)) if label_has_nan else F.lit(0)).alias("nan"),
        *[F.sum(_row_hash(columns, seed).cast("decimal(20,0)")).alias(f"hash {seed}") for seed in (1, 2)],
    ]
    found = {row[SPLIT]: row.asDict() for row in frame.groupBy(SPLIT).agg(*asked).collect()}
    splits = {
        name: Split(
            rows=row["rows"],
            nulls={column: row[f"null {column}"] for column in columns},
            infinite={column: row[f"inf {column}"] for column in doubles},
            label_nan=row["nan"],
            hashes=(int(row["hash 1"]), int(row["hash 2"])),
        )
        for name, row in found.items()
    }
    every = {name: splits.get(name, _EMPTY) for name in (*SPLITS, "outside", "timeless")}
    return Profile(every, dict(columns))


def _row_hash(columns: Mapping[str, str], seed: int) -> Column:
    """xxhash64 of a row. It passes over nulls, so which columns are null is hashed too."""
    from pyspark.sql import functions as F

    return F.xxhash64(F.lit(seed), *columns, *[F.col(name).isNull() for name in columns])


def _has_nan(type_: str) -> bool:
    return type_ in ("double", "float")


def label_counts(frame: DataFrame, label: str) -> dict[str, list[tuple[Any, int]]]:
    """How often each label is there, by split, sorted by label (nulls left out).

    Of a column that is no label but a number or an id, with thousands of values, some are left out.
    """
    wanted = frame.where(frame[label].isNotNull() & frame[SPLIT].isin(*SPLITS))
    found: dict[str, list[tuple[Any, int]]] = {name: [] for name in SPLITS}
    for row in wanted.groupBy(SPLIT, label).count().limit(MAX_LABELS).collect():
        found[row[SPLIT]].append((row[label], row["count"]))
    return {name: sorted(counts) for name, counts in found.items()}


def example_ids(frame: DataFrame, condition: Column, id_: str) -> Sequence[Any]:
    """Up to five ids of rows that meet a condition, smallest first."""
    return [row[0] for row in frame.where(condition).select(id_).orderBy(id_).limit(5).collect()]
