"""Penstock: from a machine-learning problem and raw data to a live, watched function."""

from penstock.spec.durations import days, hours, months, weeks
from penstock.spec.pipeline import Pipeline
from penstock.spec.search import Search
from penstock.spec.sources import files, table

__all__ = [
    "Pipeline", "Search", "days", "files", "hours", "months", "table", "weeks",
]  # fmt: skip
__version__ = "0.1.0"
