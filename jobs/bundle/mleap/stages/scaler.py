"""Scalers: a vector shifted and stretched by what fitting found, feature by feature.

All but one are MLeap's standard_scaler, (x - mean) * (1 / std): its max_abs_scaler cuts off at 1, which Spark does not.
"""

from __future__ import annotations

import sys

import numpy as np

from jobs.bundle import fitted
from jobs.bundle.fitted import Array
from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame, Vector
from jobs.bundle.saved import Stage, number, vector


def standard(stage: Stage, frame: Frame) -> None:
    """StandardScalerModel: (x - mean) / std, as the two switches say; a feature that never varied becomes 0."""
    _shift_and_scale(stage, frame, *fitted.standard(stage))


def robust(stage: Stage, frame: Frame) -> None:
    """RobustScalerModel: (x - median) / range between quantiles, as the two switches say; likewise."""
    _shift_and_scale(stage, frame, *fitted.robust(stage))


def max_abs(stage: Stage, frame: Frame) -> None:
    """MaxAbsScalerModel: divided by the greatest absolute value that fitting saw, where that is not 0."""
    _shift_and_scale(stage, frame, None, fitted.greatest(stage))


def min_max(stage: Stage, frame: Frame) -> None:
    """MinMaxScalerModel: from what fitting saw to [min, max]; a feature that never varied becomes their middle."""
    row = stage.row()
    model = Model(
        "min_max_scaler",
        {
            "min": values.vector(vector(row["originalMin"])),
            "max": values.vector(vector(row["originalMax"])),
            "minValue": values.double(number(stage.params["min"])),
            "maxValue": values.double(number(stage.params["max"])),
        },
    )
    _add(stage, frame, frame.vector(stage.params["inputCol"], stage.name), model)


def _shift_and_scale(stage: Stage, frame: Frame, shift: Array | None, spread: Array | None) -> None:
    column = frame.vector(stage.params["inputCol"], stage.name)
    attributes = {}
    if shift is not None:
        attributes["mean"] = values.vector(shift)
    if spread is not None:
        # Spark multiplies by 0 where nothing varied, so that NaN stays; MLeap would put 0 there. 1 / this is as good as 0.
        attributes["std"] = values.vector(np.where(spread == 0, sys.float_info.max, spread))
    if attributes:
        _add(stage, frame, column, Model("standard_scaler", attributes))
    else:
        frame.columns[stage.params["outputCol"]] = column


def _add(stage: Stage, frame: Frame, column: Vector, model: Model) -> None:
    output = stage.params["outputCol"]
    added = frame.bundle.add(model, {"input": column.name}, {"output": output})
    frame.columns[output] = Vector(added["output"], column.size, column.null)
