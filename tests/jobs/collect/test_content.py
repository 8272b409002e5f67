"""The content digest: of what the rows hold, not of how they lie there."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.collect.content import ContentDigest
from jobs.collect.kinds import ARROW

COLUMNS = {"k": "string", "n": "long", "x": "double", "b": "boolean"}
ROWS = st.lists(
    st.tuples(
        st.none() | st.text(max_size=3),
        st.none() | st.integers(-3, 3),
        st.none() | st.floats(allow_nan=False, width=16),
        st.none() | st.booleans(),
    ),
    max_size=20,
)
Row = tuple[object, ...]


def _digest(rows: list[Row], *, cut: int = 1000, columns: dict[str, str] = COLUMNS) -> str:
    digest = ContentDigest()
    for start in range(0, len(rows), cut):
        part = rows[start : start + cut]
        arrays = [
            pa.array([row[i] for row in part], ARROW[type_]) for i, type_ in enumerate(columns.values())
        ]
        digest.update(pa.RecordBatch.from_arrays(arrays, names=list(columns)))
    return digest.hexdigest(columns)


@settings(deadline=None)
@given(rows=ROWS, seed=st.integers(0, 9), cut=st.integers(1, 5))
def test_order_and_chunks_do_not_matter(rows: list[Row], seed: int, cut: int) -> None:
    """Any order of the rows, cut anywhere, gives the same digest."""
    shuffled = list(rows)
    random.Random(seed).shuffle(shuffled)
    assert _digest(shuffled, cut=cut) == _digest(rows)


@settings(deadline=None)
@given(rows=ROWS.filter(bool), other=ROWS)
def test_other_rows_give_another_digest(rows: list[Row], other: list[Row]) -> None:
    """Two tables have one digest exactly when they hold the same rows, counted."""
    same = sorted(map(repr, _canonical(rows))) == sorted(map(repr, _canonical(other)))
    assert (_digest(rows) == _digest(other)) is same


@settings(deadline=None)
@given(rows=ROWS.filter(bool))
def test_duplicates_matter(rows: list[Row]) -> None:
    """A row that is there once more, or twice more (where an exclusive or would cancel), changes the digest."""
    assert len({_digest(rows), _digest([*rows, rows[0]]), _digest([*rows, rows[0], rows[0]])}) == 3


def _canonical(rows: list[Row]) -> list[Row]:
    return [tuple(0.0 if value == 0 and isinstance(value, float) else value for value in row) for row in rows]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("a", 1, None, None)], [("a", None, 1.0, None)]),
        ([("a", 1, None, None), ("b", 2, None, None)], [("a", 2, None, None), ("b", 1, None, None)]),
        ([("", 0, None, None)], [(None, 0, None, None)]),
        ([("a", 0, None, False)], [("a", 0, None, None)]),
        ([("a", 0, 0.0, True)], [("a", 0, None, True)]),
    ],
)
def test_values_cannot_trade_places(one: list[Row], other: list[Row]) -> None:
    """A value in another column or row, and null against empty, zero or false, are other content."""
    assert _digest(one) != _digest(other)


def test_minus_zero_is_zero() -> None:
    """The two zeros of floating point are one value."""
    assert _digest([("a", 1, -0.0, True)]) == _digest([("a", 1, 0.0, True)])


def test_names_types_and_column_order_are_content() -> None:
    """The same values under another name, type or order of columns are other content."""
    columns = {"a": "long", "b": "long"}
    digests = [
        _digest([(1, 1)], columns=columns),
        _digest([(1, 1)], columns={"a": "long", "c": "long"}),
        _digest([(1, 1)], columns={"a": "long", "b": "int"}),
        _digest([(1, 1)], columns={"b": "long", "a": "long"}),
    ]
    assert len(set(digests)) == 4


def test_the_digest_is_the_same_on_every_machine() -> None:
    """A fixed table has a fixed digest: keys of other machines, and of later versions, rest on it."""
    rows: list[Row] = [("JFK", 1, 0.5, True), (None, None, None, None), ("é", -7, 1e300, False)]
    assert _digest(rows) == "f57a7e340c6bab73a92cd23bc9a7f2c5"
