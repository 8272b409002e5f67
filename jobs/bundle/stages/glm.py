"""GeneralizedLinearRegressionModel: coefficients times features plus intercept, through the link, within the family.

Source: org.apache.spark.ml.regression.GeneralizedLinearRegression (Link.unlink, Family.project).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.polynomial.chebyshev import chebpts1
from onnx import TensorProto
from scipy.special import ndtr

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
#: Beyond it the normal distribution is 0 or 1 within 1e-18.
_REACH = 9
_DEGREE = 13


def convert(stage: Stage, frame: Frame) -> None:
    """Add the regressor's columns; where the offset is null they are null."""
    graph, params = frame.graph, stage.params
    features = frame.present_vector(params["featuresCol"], stage.name)
    fitted = stage.row()
    weights = vector(fitted["coefficients"])[:, np.newaxis]
    margin = graph.op("MatMul", features.value, graph.constant(weights))
    linear = graph.op("Add", graph.pick(margin, 0), graph.constant(number(fitted["intercept"])))
    lineage, null = features.lineage, None
    if params.get("offsetCol"):
        offset = frame.number(params["offsetCol"], stage.name)
        linear = graph.op("Add", linear, offset.value)
        lineage, null = lineage | offset.lineage, offset.null
    if params.get("linkPredictionCol"):
        frame.columns[params["linkPredictionCol"]] = Number(linear, "double", null, True, lineage)
    family = params["family"].lower()
    mean = _power(stage, graph, linear) if family == "tweedie" else _unlink(stage, graph, linear, family)
    classify.finish_regression(stage, frame, _projected(graph, mean, _kind(stage, family)), lineage, null)


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
        case "probit":
            return _normal_distribution(graph, linear)
        case "cloglog":
            return graph.op("Sub", one, graph.op("Exp", graph.op("Neg", graph.op("Exp", linear))))
        case _:  # sqrt
            return graph.op("Mul", linear, linear)


def _normal_distribution(graph: Graph, value: str) -> str:
    """P(X <= value) of a standard normal X, float64 [N], within 1e-14.

    ONNX Runtime has no Erf in double, so it is a polynomial between each two whole numbers, of the distance from
    their middle.
    """
    middles, nodes = np.arange(-_REACH, _REACH) + 0.5, chebpts1(_DEGREE + 1) / 2
    coefficients = np.linalg.solve(np.vander(nodes, increasing=True), ndtr(middles + nodes[:, np.newaxis])).T
    least, most = graph.constant(float(-_REACH)), graph.constant(float(_REACH))
    inside = graph.op("Max", least, graph.op("Min", most, value))
    start = graph.op("Min", graph.op("Floor", inside), graph.constant(_REACH - 1.0))
    apart = graph.op("Sub", inside, graph.op("Add", start, graph.constant(0.5)))
    powers = graph.op("Pow", graph.column(apart), graph.constant(np.arange(_DEGREE + 1.0)))
    known = graph.where(graph.op("IsNaN", start), graph.constant(0.0), start)
    piece = graph.cast(graph.op("Add", known, most), TensorProto.INT64)
    terms = graph.op("Mul", graph.op("Gather", graph.constant(coefficients), piece), powers)
    return graph.op("ReduceSum", terms, graph.constant([1], np.int64), keepdims=0)


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
