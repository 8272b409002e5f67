"""Registered versions as MLflow stores them, and what reads them without MLflow, which takes seconds to load.

It only reads; every change goes through MLflow. The tests hold each answer against MLflow's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Row:
    """A version as it is stored: number, MLflow run, time of creation (ms since 1970), tags."""

    version: int
    run_id: str | None
    created: int
    tags: Mapping[str, str]


class LeftToMLflow(Exception):
    """What was found is not known here: MLflow must be asked, and says what is wrong in its own words."""


class Reader(Protocol):
    """Answers questions about registered models. Raises LeftToMLflow."""

    def versions(self, name: str) -> list[Row]:
        """Every version of the model `name`, the newest first; none where there is no such model."""

    def by_alias(self, name: str, alias: str) -> Row | None:
        """The version that an alias names, or None."""
