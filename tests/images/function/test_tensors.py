"""A column as bytes is read to the very values, and bytes that are no column are refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_function.service import Refusal
from penstock_function.tensors import Tensor, column

INTEGERS = {
    f"{sign}INT{bits}": f"<{kind}{bits // 8}"
    for sign, kind in (("", "i"), ("U", "u"))
    for bits in (8, 16, 32, 64)
}
FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}


def described(datatype: str, rows: int, data: bytes) -> dict[str, Any]:
    """An input tensor whose values are `data`, after the JSON."""
    return {
        "name": "x",
        "datatype": datatype,
        "shape": [rows, 1],
        "parameters": {"binary_data_size": len(data)},
    }


def read(datatype: str, rows: int, data: bytes, rest: bytes) -> list[Any]:
    """The values of a tensor that other bytes follow; it takes its own and no more."""
    name, values, taken = column(described(datatype, rows, data), 0, memoryview(data + rest))
    assert (name, taken) == ("x", len(data))
    return values


@given(texts=st.lists(st.text(max_size=20)), rest=st.binary(max_size=9))
def test_texts_come_back(texts: list[str], rest: bytes) -> None:
    """Each with its length before it, as what an output writes is read."""
    data = Tensor("x", "BYTES", [len(texts)], texts).to_bytes()
    assert data == b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    assert read("BYTES", len(texts), data, rest) == texts


@pytest.mark.parametrize("datatype", INTEGERS)
@given(data=st.data(), rest=st.binary(max_size=9))
def test_whole_numbers_come_back(datatype: str, data: st.DataObject, rest: bytes) -> None:
    """All that the type holds, its ends among them."""
    bounds = np.iinfo(INTEGERS[datatype])
    values = data.draw(st.lists(st.integers(int(bounds.min), int(bounds.max))))
    assert read(datatype, len(values), np.array(values, INTEGERS[datatype]).tobytes(), rest) == values


@pytest.mark.parametrize("datatype", FLOATS)
@given(data=st.data(), rest=st.binary(max_size=9))
def test_numbers_come_back(datatype: str, data: st.DataObject, rest: bytes) -> None:
    """Infinities among them, which the column refuses later; NaN is null."""
    width = 8 * np.dtype(FLOATS[datatype]).itemsize
    values = data.draw(st.lists(st.none() | st.floats(width=width, allow_nan=False)))  # type: ignore[call-overload]
    given = np.array([np.nan if value is None else value for value in values], FLOATS[datatype])
    assert read(datatype, len(values), given.tobytes(), rest) == values


@given(
    datatype=st.sampled_from(["BYTES", "BOOL", *INTEGERS, *FLOATS]),
    rows=st.integers(0, 4),
    data=st.binary(max_size=40) | st.lists(st.binary(max_size=6)).map(lambda parts: b"".join(struct.pack("<I", len(part)) + part for part in parts)),
    left=st.integers(-3, 3),
)  # fmt: skip
def test_any_bytes_are_a_column_or_refused(datatype: str, rows: int, data: bytes, left: int) -> None:
    """As many values as the shape says, or a refusal: never another error, whatever the bytes and their stated size."""
    tensor, rest = described(datatype, rows, data), memoryview(data + bytes(3))[: len(data) + left]
    try:
        _, values, taken = column(tensor, 0, rest)
    except Refusal:
        return
    assert (len(values), taken) == (rows, len(data))
