"""What stages were fitted to, whatever kind of bundle they become part of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jobs.bundle.saved import Stage, numbers, vector

Array = npt.NDArray[np.float64]


def standard(stage: Stage) -> tuple[Array | None, Array | None]:
    """StandardScalerModel: mean and standard deviation by feature, each None where its switch is off."""
    row = stage.row()
    return _switched(stage, "withMean", row["mean"]), _switched(stage, "withStd", row["std"])


def robust(stage: Stage) -> tuple[Array | None, Array | None]:
    """RobustScalerModel: median and range between quantiles by feature, each None where its switch is off."""
    row = stage.row()
    return _switched(stage, "withCentering", row["median"]), _switched(stage, "withScaling", row["range"])


def greatest(stage: Stage) -> Array:
    """MaxAbsScalerModel: the greatest absolute value by feature, 1 where that is 0."""
    found = vector(stage.row()["maxAbs"])
    return np.where(found == 0, 1.0, found)


def splits(stage: Stage) -> list[list[float]]:
    """Bucketizer: the splits of each of its columns."""
    many = stage.params.get("splitsArray")
    return [numbers(each) for each in (many if many is not None else [stage.params["splits"]])]


def _switched(stage: Stage, switch: str, saved: dict[str, object]) -> Array | None:
    return vector(saved) if stage.params[switch] else None
