"""MultilayerPerceptronClassificationModel: sigmoid layers, and softmax at the end.

Source: org.apache.spark.ml.ann.FeedForwardTopology.multiLayerPerceptron; the weights of all layers lie in one vector, of each
its matrix by columns, then its bias.
"""

from __future__ import annotations

from itertools import pairwise

from jobs.bundle.frame import Frame
from jobs.bundle.saved import Stage, vector
from jobs.bundle.stages import classify


def convert(stage: Stage, frame: Frame) -> None:
    """Add the classifier's columns."""
    graph = frame.graph
    features = frame.present_vector(stage.params["featuresCol"], stage.name)
    weights, layers = vector(stage.row()["weights"]), stage.params["layers"]
    value, place = features.value, 0
    for number, (inputs, outputs) in enumerate(pairwise(layers)):
        matrix = weights[place : place + inputs * outputs].reshape((inputs, outputs))
        bias = weights[place + inputs * outputs : place + (inputs + 1) * outputs]
        place += (inputs + 1) * outputs
        value = graph.op("Add", graph.op("MatMul", value, graph.constant(matrix)), graph.constant(bias))
        if number < len(layers) - 2:
            one = graph.constant(1.0)
            value = graph.op("Div", one, graph.op("Add", one, graph.op("Exp", graph.op("Neg", value))))
    probability = classify.softmax(graph, value)
    prediction = classify.by_class(stage, graph, value, probability)
    classify.finish(stage, frame, prediction, features.lineage, value, probability, layers[-1])
