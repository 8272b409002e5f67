"""A statement outside the subset."""

from __future__ import annotations

from jobs.bundle.errors import UnsupportedStage


class UnsupportedSql(UnsupportedStage):
    """A SQLTransformer's statement says what no ONNX graph here can do."""

    kind = "unsupported-sql"


def unsupported(found: str, next_step: str) -> UnsupportedSql:
    """The error for one thing that was found in a statement."""
    return UnsupportedSql(f"SQLTransformer: {found}", next_step=next_step)
