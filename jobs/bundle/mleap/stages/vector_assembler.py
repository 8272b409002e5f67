"""VectorAssembler: scalars and vectors side by side.

`keep` puts NaN in the place of null; `error` and `skip` refuse the row, which in a bundle is a shape that is not nullable.
"""

from __future__ import annotations

from jobs.bundle.errors import wrong_kind
from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame, Number, Text, Vector, unsupported
from jobs.bundle.saved import Stage


def convert(stage: Stage, frame: Frame) -> None:
    """Add the assembled column."""
    names, invalid = stage.params["inputCols"], stage.params["handleInvalid"]
    columns = [_numeric(stage, frame, name) for name in names]
    for name, column in zip(names, columns, strict=True):
        if invalid == "keep" and column.null == "refused":
            raise unsupported(
                stage.name, name, "with `keep` its null is NaN; impute the column, or refuse null by `error`"
            )
        if [other.name for other in columns].count(column.name) > 1:
            raise unsupported(stage.name, name, "it reads a column once")
    shapes = [
        values.vector_shape(column.size)
        if isinstance(column, Vector)
        else values.scalar_shape(nullable=invalid == "keep" and column.null == "nan")
        for column in columns
    ]
    model = Model(
        "vector_assembler",
        {"input_shapes": values.shapes(shapes), "handle_invalid": values.string(invalid)},
    )
    inputs = {f"input{place}": column.name for place, column in enumerate(columns)}
    output = stage.params["outputCol"]
    added = frame.bundle.add(model, inputs, {"output": output}, drops=invalid == "skip")
    size = sum(column.size if isinstance(column, Vector) else 1 for column in columns)
    frame.columns[output] = Vector(added["output"], size, "never")


def _numeric(stage: Stage, frame: Frame, name: str) -> Number | Vector:
    column = frame.column(name, stage.name)
    if isinstance(column, Text):
        raise wrong_kind(name, stage.name, column, "a number or vector")
    return column
