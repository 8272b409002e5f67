"""Tensors of the Open Inference Protocol, as JSON or as bytes, to and from the columns of records.

A column is a tensor of shape [N] or [N, 1]. Null is null in JSON and NaN in the bytes of a floating-point tensor.
The protocol: https://github.com/kserve/open-inference-protocol (v2 REST, and its binary tensor data extension).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from penstock_function.package import Field, FieldType
from penstock_function.records import describe
from penstock_function.service import Refusal

#: What a column of a type is called in the protocol.
DATATYPES: Mapping[FieldType, str] = {
    "string": "BYTES", "double": "FP64", "float": "FP32", "long": "INT64", "int": "INT32", "boolean": "BOOL",
}  # fmt: skip
#: How the bytes of a tensor are read; BYTES is read by its own rule.
_BINARY: Mapping[str, str] = {
    "BOOL": "<?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Tensor:
    """One output: its values by row, [N] or [N][K] as `shape` says; None where there is no answer."""

    name: str
    datatype: str
    shape: list[int]
    values: list[Any]

    def described(self) -> dict[str, Any]:
        """Its entry in a response, without the values."""
        return {"name": self.name, "datatype": self.datatype, "shape": self.shape}

    def flat(self) -> list[Any]:
        """The values in row-major order."""
        return [value for row in self.values for value in row] if len(self.shape) > 1 else self.values

    def filled(self) -> list[Any]:
        """As `flat`, for what has no null: NaN says that there is no answer, and text is UTF-8.

        Raises:
            Refusal: 422 where a row has no answer, and its type has no way to say so.
        """
        values = self.flat()
        if self.datatype in ("FP64", "FP32"):
            return [math.nan if value is None else value for value in values]
        if None in values:
            raise Refusal(422, "input", f"row {values.index(None)} has no {self.name}: ask for it as JSON")
        return [str(value).encode() for value in values] if self.datatype == "BYTES" else values

    def to_bytes(self) -> bytes:
        """`filled` as the binary extension has it: little-endian, text with its length before it."""
        values = self.filled()
        if self.datatype == "BYTES":
            return b"".join(_LENGTH.pack(len(text)) + text for text in values)
        return np.array(values, dtype=_BINARY[self.datatype]).tobytes()


def column(tensor: Any, position: int, rest: memoryview) -> tuple[str, list[Any], int]:
    """The name and values of an input tensor, and how many bytes of `rest` it took.

    Raises:
        Refusal: 400 with the fault, for what is no tensor of one column.
    """
    where = f"inputs[{position}]"
    if not isinstance(tensor, dict):
        raise malformed(f"{where} is {describe(tensor)}, expected an object")
    name, datatype = tensor.get("name"), tensor.get("datatype")
    if not isinstance(name, str):
        raise malformed(f"{where}.name is {describe(name)}, expected the name of a column")
    where = said(name)
    if not isinstance(datatype, str) or (datatype != "BYTES" and datatype not in _BINARY):
        raise malformed(
            f"the datatype of {where} is {describe(datatype)}, expected BYTES or {', '.join(_BINARY)}"
        )
    rows = _rows(tensor.get("shape"), where)
    size = _size(tensor, where)
    if size is None:
        values = _from_json(tensor.get("data"), where)
    elif size > len(rest):
        raise malformed(f"{where} says that it has {size} bytes; {len(rest)} are left")
    else:
        values = _from_bytes(rest[:size], datatype, where)
    if len(values) != rows:
        raise malformed(f"{where} has {len(values)} values, and its shape says {rows}")
    return name, values, size or 0


def said(name: str) -> str:
    """What sentences call an input."""
    return f"the input {name[:100]!r}"


def _rows(shape: Any, where: str) -> int:
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        found = str(shape)[:60] if isinstance(shape, list) else describe(shape)
        raise malformed(f"the shape of {where} is {found}, expected [N] or [N, 1]")
    return int(shape[0])


def _size(tensor: Mapping[str, Any], where: str) -> int | None:
    parameters = tensor.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (type(size) is not int or size < 0):
        raise malformed(f"binary_data_size of {where} is {describe(size)}, expected a number of bytes")
    if size is not None and "data" in tensor:
        raise malformed(f"{where} has both data and binary_data_size, expected one of them")
    return size


def _from_json(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise malformed(f"the data of {where} is {describe(data)}, expected an array")
    # [N, 1] may be nested.
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]


def _from_bytes(data: memoryview, datatype: str, where: str) -> list[Any]:
    if datatype == "BYTES":
        return _texts(data, where)
    dtype = np.dtype(_BINARY[datatype])
    if len(data) % dtype.itemsize:
        raise malformed(
            f"{where} has {len(data)} bytes, which is no multiple of the {dtype.itemsize} of {datatype}"
        )
    values: list[Any] = np.frombuffer(data, dtype).tolist()
    return nulls(values) if dtype.kind == "f" else values


def nulls(values: Iterable[float]) -> list[float | None]:
    """Numbers with None for NaN."""
    return [None if value != value else value for value in values]


def _texts(data: memoryview, where: str) -> list[str]:
    texts, place = list[str](), 0
    while place < len(data):
        if place + _LENGTH.size > len(data):
            raise malformed(f"{where} ends within the length of a text")
        (length,) = _LENGTH.unpack_from(data, place)
        place += _LENGTH.size
        if place + length > len(data):
            raise malformed(f"{where} ends within a text of {length} bytes")
        texts.append(text(data[place : place + length], where))
        place += length
    return texts


def text(data: bytes | memoryview, where: str) -> str:
    """The text of an input as UTF-8. Raises Refusal (400) where it is none."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        raise malformed(f"{where} holds a text that is not UTF-8") from None


def outputs(
    answers: Sequence[Mapping[str, Any]], labels: Sequence[Any], gives: Sequence[Field] = ()
) -> list[Tensor]:
    """The answers to N records as tensors: `prediction` [N] and, where shown, `probability` [N, K] in the order of `labels`.

    Then what steps give beside, each [N].
    """
    rows = len(answers)
    kind = "FP64" if not labels else "INT64" if all(type(label) is int for label in labels) else "BYTES"
    made = [Tensor("prediction", kind, [rows], [answer["prediction"] for answer in answers])]
    if "probability" in answers[0]:
        values = [list(answer["probability"].values()) for answer in answers]
        made.append(Tensor("probability", "FP64", [rows, len(labels)], values))
    for field in gives:
        made.append(
            Tensor(field.name, DATATYPES[field.type], [rows], [answer[field.name] for answer in answers])
        )
    return made


def malformed(sentence: str) -> Refusal:
    """What is no request of the protocol."""
    return Refusal(400, "protocol", sentence)
