"""The prediction log: a sample of what was asked and answered, for whoever watches the model later.

A row has its inputs, prediction and score, when it was answered, how long its request took, and the request's id. Which
rows, and which inputs are sensitive, is said by the package. A sensitive value never leaves the process: with a key it is
replaced by its keyed hash (HMAC-SHA256, RFC 2104), by which equal values can still be told, else the column is left out.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import random
from typing import Any

import orjson

from penstock_function.metrics import Metrics, score_of
from penstock_function.package import Field, FieldType, Package
from penstock_function.records import CONVERT
from penstock_function.spool import Spool

#: The format of a segment: its first line describes the columns, each further one is a row.
FORMAT = 1

Row = bytes


class PredictionLog:
    """Logs the answers of one package that asks for it, into the spool in `folder`; `key` is that of the hashes."""

    def __init__(self, package: Package, folder: Path, key: str | None, metrics: Metrics) -> None:
        assert package.log is not None
        self._rate = package.log.rate
        self._score = score_of(package)
        # Each input that is logged, and whether as its hash.
        shown = [(field, field.name in package.log.sensitive) for field in package.inputs]
        shown = [(field, hashed) for field, hashed in shown if key or not hashed]
        self._columns = [
            (field.name, _hashing(field, key) if hashed else CONVERT[field.type]) for field, hashed in shown
        ]
        inputs = [{"name": field.name, "type": "string" if hashed else field.type} for field, hashed in shown]
        whole = all(type(value) is int for value in package.classes)
        self._prediction: FieldType = "double" if not package.classes else "long" if whole else "string"
        header = {
            "format": FORMAT,
            "pipeline": package.log.pipeline,
            "name": package.name,
            "version": package.version,
            "key": package.key,
            "prediction": self._prediction,
            "inputs": inputs,
        }
        self._spool = Spool(folder, orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE), metrics)

    def sample(
        self, records: Callable[[], Sequence[Mapping[str, Any]]], answers: Sequence[Mapping[str, Any]]
    ) -> list[Row]:
        """Some of a request's rows, each by chance alone; `records` is only called where there is one."""
        chosen = [row for row in range(len(answers)) if random() < self._rate]  # noqa: S311 (guards nothing)
        if not chosen:
            return []
        given = records()
        return [self._row(given[row], answers[row]) for row in chosen]

    def write(self, rows: Sequence[Row], request: str | None, seconds: float) -> None:
        """Log the rows of a request that has been answered just now; returns at once.

        `request` is its id, if it has one; `seconds` is what it took.
        """
        now = time.time()
        about = {"time": round(now * 1e6), "request_id": request, "latency": seconds}

        def line(row: Row) -> bytes:
            return orjson.dumps({**about, "row": orjson.Fragment(row)}, option=orjson.OPT_APPEND_NEWLINE)

        self._spool.put(now, rows, line)

    def close(self) -> None:
        """Write what is left to write."""
        self._spool.close()

    def _row(self, record: Mapping[str, Any], answer: Mapping[str, Any]) -> Row:
        prediction = answer["prediction"]
        return orjson.dumps(
            {
                "prediction": None if prediction is None else CONVERT[self._prediction](prediction),
                "score": None if self._score is None else self._score(answer),
                "inputs": {
                    name: None if record[name] is None else convert(record[name])
                    for name, convert in self._columns
                },
            }
        )


def _hashing(field: Field, key: str | None) -> Callable[[Any], str]:
    """The keyed hash of a column's values: its name is hashed too, so that columns cannot be told to hold the same."""
    secret, convert = (key or "").encode(), CONVERT[field.type]
    return lambda value: hmac.digest(secret, orjson.dumps([field.name, convert(value)]), "sha256").hex()
