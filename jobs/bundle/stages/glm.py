"""GeneralizedLinearRegressionModel: coefficients times features plus intercept, through the link, within the family.

Source: org.apache.spark.ml.regression.GeneralizedLinearRegression (Link.unlink, Family.project).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jobs.bundle.errors import UnsupportedStage
from jobs.bundle.frame import Frame, Number
from jobs.bundle.graph import Graph
from jobs.bundle.saved import Stage, number, vector
from jobs.bundle.stages import classify

#: The link of each family where none is set; tweedie's goes by powers.
_LINKS: Mapping[str, str] = {
    "gaussian": "identity",
    "binomial": "logit",
    "poisson": "log",
    "gamma": "inverse",
}
_EPSILON = 1e-16
_MOST = float(np.finfo(np.float64).max)


def convert(stage: Stage, frame: Frame) -> None:
    """Add the regressor's columns. Raises UnsupportedStage for an offset and for the probit link."""
    graph, params = frame.graph, stage.params
    if params.get("offsetCol"):
        raise UnsupportedStage(
            f"{stage.name} {stage.uid} has the offset {params['offsetCol']!r}",
            next_step="make the offset a feature, or set no offsetCol",
        )
    features = frame.present_vector(params["featuresCol"], stage.name)
    fitted = stage.row()
    weights = vector(fitted["coefficients"])[:, np.newaxis]
    margin = graph.op("MatMul", features.value, graph.constant(weights))
    linear = graph.op("Add", graph.pick(margin, 0), graph.constant(number(fitted["intercept"])))
    if params.get("linkPredictionCol"):
        frame.columns[params["linkPredictionCol"]] = Number(linear, "double", None, True, features.lineage)
    family = params["family"].lower()
    mean = _power(stage, graph, linear) if family == "tweedie" else _unlink(stage, graph, linear, family)
    classify.finish_regression(stage, frame, _projected(graph, mean, _kind(stage, family)), features.lineage)


def _unlink(stage: Stage, graph: Graph, linear: str, family: str) -> str:
    one = graph.constant(1.0)
    match str(stage.params.get("link", _LINKS[family])).lower():
        case "identity":
            return linear
        case "log":
            return graph.op("Exp", linear)
        case "inverse":
            return graph.op("Div", one, linear)
        case "logit":
            return graph.op("Div", one, graph.op("Add", one, graph.op("Exp", graph.op("Neg", linear))))
        case "cloglog":
            return graph.op("Sub", one, graph.op("Exp", graph.op("Neg", graph.op("Exp", linear))))
        case "sqrt":
            return graph.op("Mul", linear, linear)
        case link:
            raise UnsupportedStage(
                f"{stage.name} {stage.uid} has the link {link!r}", next_step="take logit or cloglog"
            )


def _power(stage: Stage, graph: Graph, linear: str) -> str:
    """Tweedie's link: a power, by default of 1 - variancePower; the logarithm for 0."""
    variance = number(stage.params["variancePower"])
    link = number(stage.params.get("linkPower", 1 - variance))
    if link == 0:
        return graph.op("Exp", linear)
    return linear if link == 1 else graph.op("Pow", linear, graph.constant(1 / link))


def _kind(stage: Stage, family: str) -> str:
    """Tweedie's families with a name of their own."""
    if family != "tweedie":
        return family
    return {0.0: "gaussian", 1.0: "poisson", 2.0: "gamma"}.get(number(stage.params["variancePower"]), family)


def _projected(graph: Graph, mean: str, family: str) -> str:
    least, most = {"gaussian": (-_MOST, _MOST), "binomial": (_EPSILON, 1 - _EPSILON)}.get(
        family, (_EPSILON, _MOST)
    )
    # Not Clip: a mean that is NaN stays NaN.
    floor = graph.where(graph.op("Less", mean, graph.constant(least)), graph.constant(least), mean)
    return graph.where(graph.op("Greater", floor, graph.constant(most)), graph.constant(most), floor)
