"""What features() must never return, by its rows: each fault is named with examples, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

pytestmark = pytest.mark.spark

HEAD = """
from pyspark.sql import functions as F
def features(spark, sources):
    orders = sources["orders"]
    return """
N = range(120)


def test_a_join_that_multiplies_rows_is_named(shop: Any) -> None:
    """A key that a source repeats: how many ids, examples with their counts, and the source that is likely to blame."""
    model = """
def features(spark, sources):
    return sources["orders"].join(sources["weather"], "city")
"""
    weather = pa.table({"city": ["Rome", "Rome", "Oslo", "Graz"], "temp": [20.0, 21.0, 5.0, 12.0]})
    message = shop.refused(
        model,
        tables={"orders@2024-01-01": shop.orders(), "weather@2024-01-01": weather},
        sources=["orders", "weather"],
    )
    assert "fan-out: 40 values of 'order' are there more than once (80 rows)" in message
    assert "'o000' (2 rows), 'o003' (2 rows)" in message
    assert "they differ in temp: likely the join with weather, whose key is not unique there" in message


def test_rows_that_are_there_twice_are_named(shop: Any) -> None:
    """A source that holds rows twice has no column to blame: the message says so."""
    twice = pa.concat_tables([shop.orders(), shop.orders().slice(0, 2)])
    message = shop.refused(tables={"orders@2024-01-01": twice})
    assert "fan-out: 2 values of 'order' are there more than once (4 rows)" in message
    assert "equal in every column" in message


def test_repeated_ids_outside_the_window_do_no_harm(shop: Any) -> None:
    """Ids are unique within the window; what lies outside it is dropped before they are judged."""
    outcome, _ = shop.run(
        HEAD + "orders.unionByName(orders.limit(1).withColumn('at', F.col('at') - F.expr('interval 1 year')))"
    )
    assert outcome.state == "done"


def test_a_null_id_is_refused(shop: Any) -> None:
    """A row without an id is named."""
    message = shop.refused(
        tables={"orders@2024-01-01": shop.orders(order=[None, *[f"o{n}" for n in range(119)]])}
    )
    assert "id column 'order' is null in 1 rows" in message


def test_a_null_time_is_refused(shop: Any) -> None:
    """Rows that lost their time are counted, with examples of their ids."""
    message = shop.refused(HEAD + "orders.withColumn('at', F.when(F.col('order') > 'o001', F.col('at')))")
    assert "time column 'at' is null in 2 rows, for example order 'o000', 'o001'" in message


def test_a_null_label_is_refused(shop: Any) -> None:
    """Rows without a label are counted, with examples of their ids."""
    late = [None if n in (7, 90) else n % 3 == 0 for n in N]
    message = shop.refused(tables={"orders@2024-01-01": shop.orders(late=late)})
    assert "label 'late' is null in 2 rows, for example order 'o007', 'o090'" in message


@pytest.mark.parametrize(("value", "said"), [("nan", "NaN"), ("inf", "infinite"), ("-inf", "infinite")])
def test_a_label_that_is_no_number_is_refused(shop: Any, value: str, said: str) -> None:
    """NaN and infinite labels of a regression are counted, with examples of their ids."""
    late = [float(value) if n == 3 else float(n) for n in N]
    message = shop.refused(tables={"orders@2024-01-01": shop.orders(late=late)}, task="regression")
    assert f"label 'late' is {said} in 1 rows, for example order 'o003'" in message


def test_an_infinite_feature_is_refused(shop: Any) -> None:
    """An infinite value would poison every mean: it is named with an example."""
    price = [float("inf") if n == 4 else 1.0 for n in N]
    message = shop.refused(tables={"orders@2024-01-01": shop.orders(price=price)})
    assert "feature 'price' is infinite in 1 rows, for example order 'o004'" in message


def test_an_all_null_feature_is_named(shop: Any) -> None:
    """A feature without a value in the whole window, or in what a model is fitted on, is an error that names it."""
    message = shop.refused(HEAD + "orders.withColumn('coupon', F.lit(None).cast('string'))")
    assert "feature 'coupon' is null in every row of train and holdout" in message
    late_start = [None if n < 40 else 1.0 for n in N]
    message = shop.refused(tables={"orders@2024-01-01": shop.orders(price=late_start)})
    assert "feature 'price' is null in every row of train" in message


def test_one_class_only_is_refused(shop: Any) -> None:
    """A label with one class, in all splits or in one, cannot be learned or judged: its counts are told by split."""
    message = shop.refused(tables={"orders@2024-01-01": shop.orders(late=[False for n in N])}, kind="data")
    assert (
        "one class only in train (train: False x 40; validation: False x 40; holdout: False x 40)" in message
    )
    late = [n < 80 and n % 3 == 0 for n in N]
    message = shop.refused(tables={"orders@2024-01-01": shop.orders(late=late)}, kind="data")
    assert "one class only in holdout" in message


def test_three_classes_of_a_binary_task_are_refused(shop: Any) -> None:
    """A binary label with three classes is named with them."""
    message = shop.refused(HEAD + "orders.withColumn('late', F.col('items') % 3)", kind="data")
    assert "label 'late' of a binary task has 3 classes" in message


def test_a_class_that_only_the_holdout_has_is_refused(shop: Any) -> None:
    """No model can answer a class that training never saw: it is named."""
    kind = ["new" if n == 119 else "ab"[n % 2] for n in N]
    message = shop.refused(
        tables={"orders@2024-01-01": shop.orders(late=kind)}, kind="data", task="multiclass"
    )
    assert "classes in the holdout that training never sees: 'new'" in message


def test_a_number_taken_for_a_class_is_refused(shop: Any) -> None:
    """More than a hundred classes are a number or an id."""
    message = shop.refused(
        HEAD + "orders.unionByName(orders.withColumn('order', F.concat(F.lit('p'), 'order')))"
        ".withColumn('late', F.col('order'))",
        kind="data",
        task="multiclass",
    )
    assert "has 160 classes or more, at most 100 are allowed" in message


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("F.col('at') < '2024-01-21'", "no rows for holdout (2024-01-21 to 2024-01-31)"),
        (
            "F.lit(False)",
            "no rows for train (2024-01-01 to 2024-01-11), validation (2024-01-11 to 2024-01-21), holdout",
        ),
    ],
)
def test_a_split_without_rows_is_named(shop: Any, condition: str, said: str) -> None:
    """A split without rows is named with its span and the rows of the others."""
    message = shop.refused(HEAD + f"orders.where({condition})", kind="data")
    assert said in message
    assert "rows by 'at': train" in message
