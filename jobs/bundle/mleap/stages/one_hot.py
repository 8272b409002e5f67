"""OneHotEncoderModel: an index to a vector with a single 1.0.

MLeap's op takes whole numbers that are not null; Spark cuts 1.5 to 1, and makes a null vector of null.
"""

from __future__ import annotations

from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame, Vector, unsupported
from jobs.bundle.saved import Stage


def convert(stage: Stage, frame: Frame) -> None:
    """Add the one-hot columns."""
    keep, drop_last = stage.params["handleInvalid"] == "keep", bool(stage.params["dropLast"])
    made: dict[str, Vector] = {}
    for name, output, categories in zip(
        stage.columns("input"), stage.columns("output"), stage.row()["categorySizes"], strict=True
    ):
        column = frame.number(name, stage.name)
        if column.codes is None and column.type not in ("int", "long", "boolean"):
            raise unsupported(stage.name, name, "it takes whole numbers, such as a StringIndexer makes")
        model = Model(
            "one_hot_encoder",
            {
                "category_sizes": values.integers([categories]),
                "handle_invalid": values.string(stage.params["handleInvalid"]),
                "drop_last": values.boolean(drop_last),
            },
        )
        added = frame.bundle.add(model, {"input0": column.name}, {"output0": output})
        null = "never" if column.null == "never" else "refused"
        made[output] = Vector(added["output0"], categories + keep - drop_last, null)
    frame.columns.update(made)
