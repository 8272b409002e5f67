"""SQLTransformer: a SELECT over one row; `jobs.bundle.sql` says which."""

from __future__ import annotations

from jobs.bundle.frame import Frame
from jobs.bundle.saved import Stage
from jobs.bundle.sql import evaluate
from jobs.bundle.sql.parser import parse


def convert(stage: Stage, frame: Frame) -> None:
    """Replace the columns by what the statement selects; unselected ones are gone, as in Spark."""
    evaluate.apply(parse(stage.params["statement"]), frame)
