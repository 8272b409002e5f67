"""ImputerModel: null, and whatever equals missingValue, becomes the fitted surrogate in the type of the column.

MLeap replaces NaN, which a function's null is, whatever the missing value.
"""

from __future__ import annotations

import math

import numpy as np

from jobs.bundle.field import FieldType
from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame, Number, unsupported
from jobs.bundle.saved import Stage, number


def convert(stage: Stage, frame: Frame) -> None:
    """Add the imputed columns."""
    surrogates = stage.row()
    made: dict[str, Number] = {}
    for name, output in zip(stage.columns("input"), stage.columns("output"), strict=True):
        column = frame.number(name, stage.name)
        if column.null == "refused":
            raise unsupported(stage.name, name, "its null is refused before; put the Imputer first")
        surrogate = _in_type(surrogates[name], column.type)
        missing = number(stage.params["missingValue"])
        model = Model(
            "imputer",
            {
                "surrogate_value": values.double(surrogate),
                # NaN cannot be written; what is replaced by itself stays.
                "missing_value": values.double(surrogate if math.isnan(missing) else missing),
                "strategy": values.string(stage.params["strategy"]),
                "nullable_input": values.boolean(column.null == "nan"),
            },
        )
        added = frame.bundle.add(model, {"input": column.name}, {"output": output})
        made[output] = Number(added["output"], column.type, "never")
    frame.columns.update(made)


def _in_type(surrogate: float, kind: FieldType) -> float:
    """As Spark casts it: the mean 2.7 becomes 2 in a whole column."""
    if kind in ("int", "long"):
        return float(math.trunc(surrogate))
    return float(np.float32(surrogate)) if kind == "float" else surrogate
