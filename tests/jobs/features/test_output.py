"""What features writes: the splits, the reference, the digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.spark


def split(shop: Any, result: Any, name: str) -> pa.Table:
    """A written split as a table."""
    return pq.read_table(shop.project.store.path(f"{result.path}/{name}"))


def test_rows_are_split_by_time(shop: Any) -> None:
    """Each split holds the rows of its span, a row at a boundary in the later one, and no row twice."""
    _, result = shop.run()
    train, validation, holdout = (split(shop, result, name) for name in ("train", "validation", "holdout"))
    assert (train.num_rows, validation.num_rows, holdout.num_rows) == (40, 40, 40)
    assert str(pc.min(validation["at"])) == "2024-01-11 00:00:00+00:00"
    assert str(pc.min(holdout["at"])) == "2024-01-21 00:00:00+00:00"
    assert result.summary["rows"] == {"train": 40, "validation": 40, "holdout": 40, "outside": 0}


def test_rows_outside_the_window_are_dropped_and_counted(shop: Any) -> None:
    """Rows before the window and at its end are in no split, and the summary says how many they are."""
    _, result = shop.run(window={"start": "2024-01-03T00:00:00+00:00", "end": "2024-01-30T00:00:00+00:00"})
    assert result.summary["rows"] == {"train": 32, "validation": 40, "holdout": 36, "outside": 12}


def test_nan_becomes_null(shop: Any) -> None:
    """NaN in a feature is written as null, and counted as one."""
    price = [float("nan") if n % 2 else 1.0 for n in range(120)]
    _, result = shop.run(tables={"orders@2024-01-01": shop.orders(price=price)})
    assert split(shop, result, "train")["price"].null_count == 20
    reference = json.loads(shop.project.store.read_bytes(f"{result.path}/reference.json"))
    assert reference["columns"]["price"]["nulls"] == 40


def test_types_are_those_of_a_function(shop: Any) -> None:
    """The summary gives the columns in features()'s own order, with the function's names of their types."""
    _, result = shop.run()
    assert list(result.summary["columns"].items()) == [
        ("order", "string"), ("at", "timestamp"), ("late", "boolean"), ("city", "string"), ("price", "double"),
        ("items", "int"),
    ]  # fmt: skip
    assert result.summary["classes"] == [False, True]


def test_the_reference_describes_train_and_validation(shop: Any) -> None:
    """Numbers and categories of the reference are those that numpy counts on the same rows, without the holdout."""
    _, result = shop.run()
    reference = json.loads(shop.project.store.read_bytes(f"{result.path}/reference.json"))
    items, city = reference["columns"]["items"], reference["columns"]["city"]
    expected = np.array([n % 7 for n in range(80)])
    assert reference["rows"] == 80
    assert (items["min"], items["max"], items["nulls"]) == (0, 6, 0)
    assert items["mean"] == pytest.approx(expected.mean())
    assert items["std"] == pytest.approx(expected.std(ddof=1))
    assert items["quantiles"]["0.5"] == 3
    assert city == {
        "role": "feature", "type": "string", "nulls": 0, "distinct": 3,
        "top": [["Oslo", 27], ["Rome", 27], ["Graz", 26]], "other": 0,
    }  # fmt: skip
    assert reference["columns"]["at"]["min"] == "2024-01-01T00:00:00+00:00"
    assert [reference["columns"][name]["role"] for name in ("order", "at", "late")] == ["id", "time", "label"]
    assert reference["labels"]["holdout"] == [[False, 27], [True, 13]]


def test_rare_categories_are_counted_together(shop: Any) -> None:
    """Of 80 categories the 50 most frequent are kept; the rest is one count."""
    city = [f"c{n:03}" for n in range(120)]
    _, result = shop.run(tables={"orders@2024-01-01": shop.orders(city=city)})
    found = json.loads(shop.project.store.read_bytes(f"{result.path}/reference.json"))["columns"]["city"]
    assert (found["distinct"], len(found["top"]), found["other"]) == (80, 50, 30)


def test_the_digest_is_of_content(shop: Any) -> None:
    """The same rows in another order give the same digest; one other value, or a null moved, another."""
    table = shop.orders()
    backwards = table.take(list(range(119, -1, -1)))
    moved = shop.orders(price=[*table["price"].to_pylist()[1:], None])
    digests = [
        shop.run(tables={"orders@2024-01-01": given})[1].digest
        for given in (table, backwards, moved, shop.orders(items=[n % 7 + (n == 5) for n in range(120)]))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_written_parts_follow_from_the_ids(shop: Any) -> None:
    """Each file of a split is sorted by id, and shuffled input gives the same files row by row."""
    table = shop.orders()
    draw = np.random.default_rng(3).permutation(120)
    contents = []
    for given in (table, table.take(draw)):
        _, result = shop.run(tables={"orders@2024-01-01": given})
        folder = Path(shop.project.store.path(f"{result.path}/train"))
        contents.append([pq.read_table(part).to_pylist() for part in sorted(folder.glob("*.parquet"))])
    for part in contents[0]:
        assert [row["order"] for row in part] == sorted(row["order"] for row in part)
    assert contents[0] == contents[1]


def test_a_regression_label_has_no_classes(shop: Any) -> None:
    """A numeric label of a regression is described as a number."""
    _, result = shop.run(task="regression", label="items")
    reference = json.loads(shop.project.store.read_bytes(f"{result.path}/reference.json"))
    assert result.summary["classes"] is None
    assert reference["labels"] is None
    assert reference["columns"]["items"]["role"] == "label"
