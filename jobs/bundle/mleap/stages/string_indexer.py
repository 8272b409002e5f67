"""StringIndexerModel: a value's text to its rank among the labels.

MLeap indexes text alone, as Spark does in the end: of a number it reads the text that Spark would make of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame, Number, Vector, unsupported
from jobs.bundle.saved import Stage

#: What no value is: a function's text holds no NUL.
_UNMET = "\0"


def convert(stage: Stage, frame: Frame) -> None:
    """Add the index columns; an input column that is not there is passed over, as Spark does (the label's)."""
    invalid = stage.params["handleInvalid"]
    made: dict[str, Number] = {}
    for name, output, labels in zip(
        stage.columns("input"), stage.columns("output"), stage.row()["labelsArray"], strict=True
    ):
        if name not in frame.columns:
            continue
        text, ranked = _texts(stage, frame, name, labels)
        model = Model(
            "string_indexer",
            {
                "labels_length": values.integer(1),
                "labels_array_0": values.strings(ranked),
                "handle_invalid": values.string(invalid),
            },
        )
        added = frame.bundle.add(model, {"input": text}, {"output": output}, drops=invalid == "skip")
        made[output] = Number(added["output"], "double", "never", len(labels) + (invalid == "keep"))
    frame.columns.update(made)


def _texts(stage: Stage, frame: Frame, name: str, labels: Sequence[str | None]) -> tuple[str, list[str]]:
    """The column of texts, and the labels in order, of which one that is null is never met."""
    column = frame.column(name, stage.name)
    if isinstance(column, Vector) or (isinstance(column, Number) and column.text is None):
        raise unsupported(
            stage.name, name, "it reads the function's inputs only, and another stage made this column"
        )
    if isinstance(column, Number):
        # A function's NaN is null, which is never a label.
        return column.text or "", [_UNMET if label in (None, "NaN") else label for label in labels]
    return column.name, [_UNMET if label is None else label for label in labels]
