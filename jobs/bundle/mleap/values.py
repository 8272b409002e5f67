"""Attributes of a Bundle.ML model in its JSON form. What is not finite is null there, which MLeap reads as NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Value = dict[str, Any]


def boolean(value: bool) -> Value:
    """A boolean."""
    return {"boolean": value}


def integer(value: int) -> Value:
    """A whole number of 32 bits."""
    return {"int": value}


def long(value: int) -> Value:
    """A whole number of 64 bits."""
    return {"long": value}


def double(value: float) -> Value:
    """A number."""
    return {"double": _finite(value)}


def string(value: str) -> Value:
    """A text."""
    return {"string": value}


def integers(values: Sequence[int]) -> Value:
    """A list of whole numbers of 32 bits."""
    return {"type": "list", "int": list(values)}


def doubles(values: Sequence[float]) -> Value:
    """A list of numbers."""
    return {"type": "list", "double": [_finite(value) for value in values]}


def strings(values: Sequence[str]) -> Value:
    """A list of texts."""
    return {"type": "list", "string": list(values)}


def vector(values: npt.NDArray[np.float64]) -> Value:
    """A float64 tensor [N]."""
    return _tensor(values, values.shape)


def matrix(values: npt.NDArray[np.float64]) -> Value:
    """A float64 tensor [rows, columns], column after column: MLeap makes Spark's dense matrix of it."""
    return _tensor(values.flatten(order="F"), values.shape)


def scalar_shape(*, nullable: bool) -> Value:
    """The shape of a column of numbers."""
    return {"base": "scalar", "isNullable": nullable}


def vector_shape(size: int) -> Value:
    """The shape of a column of vectors, which is never null."""
    return {"base": "tensor", "isNullable": False, "tensorShape": _shape((size,))}


def shapes(values: Sequence[Value]) -> Value:
    """A list of the shapes of columns."""
    return {"type": "list", "data_shape": list(values)}


def _tensor(flat: npt.NDArray[np.float64], shape: Sequence[int]) -> Value:
    return {"type": "tensor", "double": [_finite(value) for value in flat.tolist()], "shape": _shape(shape)}


def _shape(shape: Sequence[int]) -> Value:
    return {"dimensions": [{"size": size, "name": ""} for size in shape]}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
