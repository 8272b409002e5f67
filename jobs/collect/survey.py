"""What is known of a source's columns while its rows pass by, and the types that follow from it at the end."""

from __future__ import annotations

import difflib

import pyarrow as pa

from jobs.collect import kinds
from jobs.collect.batches import Batch
from jobs.collect.kinds import Kind
from jobs.collect.values import mixed
from penstock.errors import DataError
from penstock.spec.sources import Files, Table


class Survey:
    """The columns so far, in the order of their first appearance, each with the kind of all its values."""

    def __init__(self, source: Files | Table) -> None:
        self._source = source
        self._kinds: dict[str, Kind] = {}
        self._model: tuple[str, frozenset[str]] | None = None
        time = {source.time: "timestamp"} if source.time else {}
        #: The columns whose type is not found but enforced: the declared ones, and the time column.
        self.declared: dict[str, str] = {**(source.columns or {}), **time}

    def copy(self) -> Survey:
        """An independent copy, for a part that may have to be read again."""
        other = Survey(self._source)
        other._kinds, other._model = dict(self._kinds), self._model
        return other

    def add(self, batch: Batch) -> None:
        """Take in a batch. Raises DataError where its columns or their types do not go with those before."""
        if not batch.loose:
            self._same_columns(batch)
        for name, values in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
            self._kinds[name] = self._join(batch, name, values)

    def columns(self) -> dict[str, str]:
        """The final type of each column, in order.

        A column without any value gets `double`: what is missing altogether is mostly a measurement. Raises
        DataError for a declared column, or the time column, that is not there.
        """
        if self._kinds and (missing := [name for name in self.declared if name not in self._kinds]):
            hints = [f"{name!r}{self._similar(name)}" for name in missing]
            raise DataError(
                f"source {self._source.name!r} has no column {', '.join(hints)}; "
                f"its columns are {', '.join(self._kinds)}",
                next_step="if a column was renamed at the source, rename it in the spec (and in model.py)",
            )
        found = {name: "double" if kind == "null" else kind for name, kind in self._kinds.items()}
        return {**found, **self.declared}

    def untyped(self) -> list[str]:
        """The columns without a value and without a declared type: other intervals may know better."""
        return [name for name, kind in self._kinds.items() if kind == "null" and name not in self.declared]

    def _join(self, batch: Batch, name: str, values: pa.Array) -> Kind:
        before = self._kinds.get(name, "null")
        if before == "string" and batch.text:
            return before
        where = f"{batch.part}, column {name!r}"
        found = kinds.of_text(values) if batch.text else kinds.of_type(values.type)
        if found is None:
            raise DataError(
                f"{where} is of type {values.type}, which cannot be kept",
                next_step="leave it out at the source, or turn it into text or numbers there",
            )
        if batch.text:
            return kinds.join_text(before, found)
        joined = kinds.join_typed(before, found)
        if joined is None and name not in self.declared:
            raise mixed(where, [before, found])
        return joined or found

    def _same_columns(self, batch: Batch) -> None:
        names = frozenset(batch.rows.schema.names)
        if self._model is None:
            self._model = (batch.part, names)
        first, known = self._model
        if names == known:
            return
        gone, new = sorted(known - names), sorted(names - known)
        changes = [f"without {', '.join(gone)}"] * bool(gone) + [f"with {', '.join(new)}"] * bool(new)
        raise DataError(
            f"{batch.part} has other columns than {first}: {', '.join(changes)}",
            next_step="give all files of a source the same columns",
        )

    def _similar(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._kinds, n=1)
        return f" (is it {close[0]!r} now?)" if close else ""
