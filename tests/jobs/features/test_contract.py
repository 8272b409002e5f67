"""What features() owes, by the shape of what it returns: every fault is named, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.spark

HEAD = """
from pyspark.sql import functions as F
def features(spark, sources):
    orders = sources["orders"]
    return """


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("None", "returned NoneType, expected a Spark DataFrame"),
        ("orders.drop('late')", "column 'late' (the label column) is missing"),
        ("orders.drop('at')", "column 'at' (the time column) is missing"),
        ("orders.drop('order')", "column 'order' (the id column) is missing"),
        ("orders.drop('city')", "column 'city' (a slice of the spec) is missing"),
        (
            "orders.withColumn('at', F.to_date('at'))",
            "column 'at' (the time) has type date, expected timestamp",
        ),
        ("orders.withColumn('late', F.rand())", "column 'late' (the label of a binary task) has type double"),
        ("orders.withColumn('tags', F.array('city'))", "column 'tags' (the feature) has type array<string>"),
        (
            "orders.withColumn('price', F.col('price').cast('decimal(10,2)'))",
            "column 'price' (the feature) has type decimal(10,2), expected string or double or float or int or long or "
            "boolean: cast it to double",
        ),
        ("orders.join(orders.select('order', 'city'), 'order')", "column 'city' is there twice"),
        ("orders.withColumnRenamed('items', 'a.b')", "column 'a.b': a name may not be empty"),
        ("orders.withColumn('_x', F.lit(1))", "column '_x': a name may not be empty, start with '_'"),
    ],
)
def test_a_broken_contract_is_named(shop: Any, returned: str, said: str) -> None:
    """Each way to break the contract fails as the user's error, and says which column, what was found and expected."""
    assert said in shop.refused(HEAD + returned)


def test_a_sensitive_column_must_be_there(shop: Any) -> None:
    """A name that is misspelt is told before there is a function that logs the column as it is."""
    said = shop.refused(sensitive=["city", "adress"])
    assert "column 'adress' (sensitive by the spec) is missing; columns found: order, at, late, city" in said
    assert "in 1 way" in said


def test_all_faults_come_at_once(shop: Any) -> None:
    """Three faults are told in one message, so that they are mended in one go."""
    message = shop.refused(HEAD + "orders.drop('late', 'at').withColumn('tags', F.array('city'))")
    assert "in 3 ways" in message
    assert all(f"column '{name}'" in message for name in ("late", "at", "tags"))


def test_a_timestamp_without_zone_is_read_as_utc(shop: Any) -> None:
    """A time of type timestamp_ntz is taken as UTC, and rows go to the splits that it gives."""
    _, result = shop.run(HEAD + "orders.withColumn('at', F.col('at').cast('timestamp_ntz'))")
    assert result.summary["rows"] == {"train": 40, "validation": 40, "holdout": 40, "outside": 0}
    assert result.summary["columns"]["at"] == "timestamp"
