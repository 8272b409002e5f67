"""What can go wrong between a Spark pipeline and its bundle."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.errors import PenstockError, UserCodeError


class BundleError(PenstockError):
    """A saved pipeline cannot be read, or does not fit the function it is wanted for."""

    kind = "bundle"


class UnsupportedStage(UserCodeError):
    """The pipeline holds a stage, or an option of one, that has no form in the bundle."""

    kind = "unsupported-stage"


def no_column(name: str, stage: str, columns: Iterable[str]) -> BundleError:
    """A stage reads a column that is not among `columns`."""
    return BundleError(
        f"{stage} reads the column {name!r}, which is not there; there are: {', '.join(columns)}",
        next_step="what a function reads must come from features(), without the label, the time and the ids",
    )


def wrong_kind(name: str, stage: str, column: object, wanted: str) -> BundleError:
    """A stage reads `column` as what it is not."""
    return BundleError(
        f"{stage} reads the column {name!r} as {wanted}, but it is a {type(column).__name__.lower()} column",
        next_step="check the types of the function's inputs and the column names of the pipeline's stages",
    )
