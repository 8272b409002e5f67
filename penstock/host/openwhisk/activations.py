"""The records of activations: in a database, the latest of each namespace."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

KEPT: Final = 10_000  # of each namespace
_EVERY = 100  # records until older ones are looked for


@dataclass(frozen=True)
class Which:
    """Which of a namespace's activations: of one action (its path), by start (ms since the epoch), the newest first."""

    action: str | None = None
    since: int = 0
    upto: int = 2**62
    limit: int = 30
    skip: int = 0


class Activations:
    """The database at `path`. Each call takes a moment: off the event loop with it. All raise sqlite3.Error.

    A killed host loses none that was kept; a power cut may lose the last few.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._written = 0
        # One connection, whose calls take turns.
        self._database = sqlite3.connect(path, check_same_thread=False)
        with self._database as database:
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = normal")
            database.execute(
                "create table if not exists activations "
                "(id text primary key, namespace text, action text, start integer, record text)"
            )
            database.execute("create index if not exists by_start on activations (namespace, start)")

    def keep(self, namespace: str, action: str, record: Mapping[str, Any]) -> None:
        """Keep the record of an activation of `action`, a path in the namespace."""
        row = (record["activationId"], namespace, action, record["start"], json.dumps(record))
        with self._lock, self._database as database:
            database.execute("insert into activations values (?, ?, ?, ?, ?)", row)
            self._written += 1
            if self._written % _EVERY == 0:
                database.execute(
                    "delete from activations where namespace = ? and start < (select start from activations "
                    "where namespace = ? order by start desc limit 1 offset ?)",
                    (namespace, namespace, KEPT - 1),
                )

    def record(self, namespace: str, number: str) -> dict[str, Any] | None:
        """The record of one activation; None where there is none."""
        with self._lock:
            found = self._database.execute(
                "select record from activations where namespace = ? and id = ?", (namespace, number)
            ).fetchone()
        return None if found is None else dict(json.loads(found[0]))

    def find(self, namespace: str, which: Which) -> list[dict[str, Any]]:
        """The records of some."""
        with self._lock:
            found = self._database.execute(
                f"select record {_WHICH} order by start desc, rowid desc limit ? offset ?",
                (*_given(namespace, which), which.limit, which.skip),
            ).fetchall()
        return [json.loads(record) for (record,) in found]

    def count(self, namespace: str, which: Which) -> int:
        """How many there are, whatever the limit."""
        with self._lock:
            (count,) = self._database.execute(
                f"select count(*) {_WHICH}",
                _given(namespace, which),
            ).fetchone()
        return max(0, int(count) - which.skip)

    def forget(self, namespace: str) -> None:
        """Delete those of a namespace that is gone."""
        with self._lock, self._database as database:
            database.execute("delete from activations where namespace = ?", (namespace,))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()


_WHICH = "from activations where namespace = ? and start between ? and ? and coalesce(?, action) = action"


def _given(namespace: str, which: Which) -> tuple[str, int, int, str | None]:
    return (namespace, which.since, which.upto, which.action)
