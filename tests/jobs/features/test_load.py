"""How the intervals of a source come together."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

pytestmark = pytest.mark.spark


def halves(shop: Any, **second: Any) -> dict[str, pa.Table]:
    """The orders as two intervals, the columns of the second replaced by those given (None: left out)."""
    table = shop.orders()
    later = table.slice(60)
    for name, values in second.items():
        index = later.column_names.index(name)
        later = later.remove_column(index)
        if values is not None:
            later = later.add_column(index, name, values)
    return {"orders@2024-01-01": table.slice(0, 60), "orders@2024-01-16": later}


def test_intervals_are_put_together(shop: Any) -> None:
    """Two intervals give the rows, and so the digest, of both in one."""
    _, one = shop.run()
    _, two = shop.run(tables=halves(shop))
    assert one.digest == two.digest


def test_numbers_widen(shop: Any) -> None:
    """An interval of whole numbers beside one of fractions gives doubles."""
    _, result = shop.run(tables=halves(shop, price=pa.array(range(60), pa.int64())))
    assert result.summary["columns"]["price"] == "double"
    assert result.summary["rows"]["train"] == 40


def test_a_column_without_values_takes_the_type_of_the_others(shop: Any) -> None:
    """An interval in which a column is all null tells no type, whatever its file says."""
    table = shop.orders()
    silent = table.slice(50, 40).set_column(4, "price", pa.nulls(40, pa.string()))
    tables = {"orders@a": table.slice(0, 50), "orders@b": silent, "orders@c": table.slice(90)}
    _, result = shop.run(tables=tables)
    assert result.summary["columns"]["price"] == "double"


def test_an_interval_without_rows_tells_nothing(shop: Any) -> None:
    """An empty interval, whatever its inferred types, changes nothing."""
    empty = pa.table({name: pa.array([], pa.string()) for name in shop.orders().column_names})
    _, result = shop.run(tables={"orders@2024-01-01": shop.orders(), "orders@2024-02-01": empty})
    assert result.summary["columns"]["price"] == "double"


def test_a_missing_column_is_named(shop: Any) -> None:
    """A column that one interval lacks is named with that interval and one that has it."""
    message = shop.refused(tables=halves(shop, price=None), kind="data")
    assert "source 'orders' differs between its data intervals" in message
    assert "2024-01-16 has no column 'price', which 2024-01-01 has" in message


def test_a_renamed_column_is_named_both_ways(shop: Any) -> None:
    """A renamed column shows as one that is missing and one that is new."""
    parts = halves(shop)
    names = ["cost" if name == "price" else name for name in parts["orders@2024-01-16"].column_names]
    parts["orders@2024-01-16"] = parts["orders@2024-01-16"].rename_columns(names)
    message = shop.refused(tables=parts, kind="data")
    assert "2024-01-16 has no column 'price'" in message
    assert "2024-01-16 has a column 'cost', which 2024-01-01 has not" in message


def test_another_type_is_named(shop: Any) -> None:
    """A column whose types have nothing in common is named with both types and intervals."""
    message = shop.refused(tables=halves(shop, items=pa.array(["many"] * 60)), kind="data")
    assert "'items' is string in 2024-01-16 and int32 in 2024-01-01" in message
