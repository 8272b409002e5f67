"""Linear models: coefficients times features plus intercept."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.bundle.mleap import values
from jobs.bundle.mleap.bundle import Model
from jobs.bundle.mleap.frame import Frame
from jobs.bundle.mleap.stages import predictor
from jobs.bundle.mleap.values import Value
from jobs.bundle.saved import Stage, matrix, number, numbers, vector


def linear_regression(stage: Stage, frame: Frame) -> None:
    """LinearRegressionModel (every loss predicts alike)."""
    fitted = stage.row()
    attributes = {
        "coefficients": values.vector(vector(fitted["coefficients"])),
        "intercept": values.double(fitted["intercept"]),
    }
    predictor.regressor(stage, frame, Model("linear_regression", attributes))


def logistic_regression(stage: Stage, frame: Frame) -> None:
    """LogisticRegressionModel, binomial and multinomial."""
    fitted = stage.row()
    classes = int(fitted["numClasses"])
    coefficients, _ = matrix(fitted["coefficientMatrix"])
    intercepts = vector(fitted["interceptVector"])
    attributes = (
        _binomial(stage, fitted, coefficients, intercepts)
        if classes == 2
        else {
            "coefficient_matrix": values.matrix(coefficients),
            "intercept_vector": values.vector(intercepts),
            **predictor.thresholds(stage),
        }
    )
    model = Model("logistic_regression", {"num_classes": values.long(classes), **attributes})
    predictor.classifier(stage, frame, model, classes)


def _binomial(
    stage: Stage,
    fitted: dict[str, Any],
    coefficients: npt.NDArray[np.float64],
    intercepts: npt.NDArray[np.float64],
) -> dict[str, Value]:
    """MLeap has two classes by one row of coefficients only; of two rows it is their difference that counts."""
    threshold = number(stage.params["threshold"])
    if fitted["isMultinomial"]:
        coefficients, intercepts = np.diff(coefficients, axis=0), np.diff(intercepts)
        threshold = 0.5
    if stage.params.get("thresholds") is not None:
        first, second = numbers(stage.params["thresholds"])
        threshold = second / (first + second)
    return {
        "coefficients": values.vector(coefficients[0]),
        "intercept": values.double(intercepts[0]),
        "threshold": values.double(threshold),
    }
