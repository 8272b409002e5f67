"""Bucketizer: a number to the index of its bucket. MLeap's op takes no null, which Spark lets pass."""

from __future__ import annotations

from jobs.bundle import fitted
from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame, Number
from jobs.bundle.saved import Stage


def convert(stage: Stage, frame: Frame) -> None:
    """Add the bucket columns."""
    invalid = stage.params["handleInvalid"]
    made: dict[str, Number] = {}
    for name, output, splits in zip(
        stage.columns("input"), stage.columns("output"), fitted.splits(stage), strict=True
    ):
        column = frame.number(name, stage.name)
        # An end that is infinite is NaN in the bundle, as MLeap has it.
        model = Model(
            "bucketizer", {"splits": values.doubles(splits), "handle_invalid": values.string(invalid)}
        )
        added = frame.bundle.add(model, {"input": column.name}, {"output": output}, drops=invalid == "skip")
        passes = column.null != "never" and invalid != "skip"
        made[output] = Number(
            added["output"], "double", "refused" if passes else "never", len(splits) - 1 + (invalid == "keep")
        )
    frame.columns.update(made)
