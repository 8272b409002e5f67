"""A digest of a table's content that does not depend on the order of its rows, nor on how it was cut.

Each row gets two 64-bit hashes; each of them is added up over all rows, modulo 2^64. A sum does not know an order,
and unlike an exclusive or it counts a row that is there twice. The digest covers the column names and types in
order, the number of rows, and both sums: 128 bits, against accident rather than attack.

The hash of a row mixes its values column by column (so that values cannot trade places between columns). A value
goes in by a canonical form of 64 bits per lane: numbers by the bits of their type widened to 64 (minus zero as
zero), timestamps as microseconds since 1970 UTC, dates as days, booleans as 0 and 1, text as BLAKE2b of its UTF-8
bytes, null as a constant of its own.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock import keys

_U64 = np.uint64
_Lane = npt.NDArray[np.uint64]
#: Odd constants of the splitmix64 generator (Steele, Lea and Flood, 2014) and starting points for the two lanes.
_GAMMA, _MIX_1, _MIX_2 = _U64(0x9E3779B97F4A7C15), _U64(0xBF58476D1CE4E5B9), _U64(0x94D049BB133111EB)
_SEEDS = (_U64(0x243F6A8885A308D3), _U64(0x13198A2E03707344))
_NULL = (_U64(0xA4093822299F31D0), _U64(0x082EFA98EC4E6C89))


class ContentDigest:
    """Adds tables up; `hexdigest(columns)` gives the digest of all of them."""

    def __init__(self) -> None:
        self._rows = 0
        self._sums = [0, 0]

    def update(self, rows: pa.RecordBatch) -> None:
        """Add rows whose columns have the types of `jobs.collect.kinds.ARROW` and no NaN."""
        lanes = [np.full(rows.num_rows, seed) for seed in _SEEDS]
        for column in rows.columns:
            for index, values in enumerate(_canonical(column)):
                lanes[index] = _mix(lanes[index] * _GAMMA ^ values)
        self._rows += rows.num_rows
        for index, lane in enumerate(lanes):
            self._sums[index] = (self._sums[index] + int(lane.sum(dtype=np.uint64))) % 2**64

    def hexdigest(self, columns: dict[str, str]) -> str:
        """The digest, given the columns' names and types in order."""
        return keys.digest({"columns": list(columns.items()), "rows": self._rows, "sums": self._sums})


def _canonical(column: pa.Array) -> tuple[_Lane, _Lane]:
    if pa.types.is_string(column.type):
        lanes = _text_lanes(column)
    else:
        bits = _bits(column)
        lanes = (_mix(bits + _SEEDS[0]), _mix(bits + _SEEDS[1]))
    if column.null_count:
        missing = column.is_null().to_numpy(zero_copy_only=False)
        for lane, null in zip(lanes, _NULL, strict=True):
            lane[missing] = null
    return lanes


def _text_lanes(column: pa.Array) -> tuple[_Lane, _Lane]:
    encoded = column.dictionary_encode()
    hashes = b"".join(
        hashlib.blake2b(text.as_buffer(), digest_size=16).digest() for text in encoded.dictionary
    )
    pairs = np.frombuffer(hashes or bytes(16), dtype="<u8").reshape(-1, 2)
    codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return pairs[codes, 0].astype(_U64), pairs[codes, 1].astype(_U64)


def _bits(column: pa.Array) -> _Lane:
    if pa.types.is_floating(column.type):
        # Adding zero turns minus zero into zero.
        numbers = pc.fill_null(pc.cast(column, pa.float64()), 0.0).to_numpy(zero_copy_only=False) + 0.0
        bits: _Lane = numbers.view(_U64)
        return bits
    if pa.types.is_date(column.type):
        column = pc.cast(column, pa.int32())
    whole = pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(whole).view(_U64)


def _mix(values: _Lane) -> _Lane:
    mixed: Any = values + _GAMMA
    mixed = (mixed ^ (mixed >> _U64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> _U64(27))) * _MIX_2
    return np.asarray(mixed ^ (mixed >> _U64(31)), dtype=_U64)
