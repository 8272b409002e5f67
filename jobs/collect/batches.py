"""What a reader gives: raw rows of one part of a source, before types are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows a reader hands over at once where it builds them one by one: few, as Python's values are large.
CHUNK_ROWS = 16_384


@dataclass(frozen=True)
class Batch:
    """Some rows of one part (a file, an archive's member, a query) of a source.

    `part` names it in messages, `first` is the number of the first row in it, from 1. `text`: all values are text
    whose type is to be found (CSV). `loose`: rows may leave columns out (JSON).
    """

    part: str
    first: int
    rows: pa.RecordBatch
    text: bool = False
    loose: bool = False


Batches = Iterator[Batch]
