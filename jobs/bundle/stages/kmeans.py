"""KMeansModel: the number of the nearest centre, of equally near ones the first; a column for the stages after it.

Source: org.apache.spark.mllib.clustering.DistanceMeasure. A vector with NaN is refused, and by the cosine
one of zeros.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from jobs.bundle.frame import Frame, Number
from jobs.bundle.saved import Stage, vector


def convert(stage: Stage, frame: Frame) -> None:
    """Add the column with the number of the cluster."""
    graph = frame.graph
    name = stage.params["featuresCol"]
    features = frame.present_vector(name, stage.name)
    rows = sorted(stage.table().to_pylist(), key=lambda row: row["clusterIdx"])
    centres, lineage = np.stack([vector(row["clusterCenter"]) for row in rows]), features.lineage
    along = graph.constant([1], np.int64)
    size = graph.op("ReduceSum", graph.op("Mul", features.value, features.value), along)
    if stage.params["distanceMeasure"] == "cosine":
        none = graph.op("Not", graph.op("Greater", size, graph.constant(0.0)))
        towards = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        likeness = graph.op(
            "MatMul", graph.op("Div", features.value, graph.op("Sqrt", size)), graph.constant(towards.T)
        )
        distance = graph.op("Neg", likeness)
    else:
        none = graph.op("IsNaN", size)
        apart = graph.op("Sub", graph.op("Unsqueeze", features.value, along), graph.constant(centres))
        squares = graph.op("Mul", apart, apart)
        distance = graph.op("ReduceSum", squares, graph.constant([2], np.int64), keepdims=0)
    lineage = lineage.refused(frame.refuse(name, features, graph.pick(none, 0), drops=False))
    nearest = graph.cast(graph.op("ArgMin", distance, axis=1, keepdims=0), TensorProto.DOUBLE)
    clusters = len(centres)
    frame.columns[stage.params["predictionCol"]] = Number(
        nearest, "int", None, False, lineage, clusters, clusters
    )
