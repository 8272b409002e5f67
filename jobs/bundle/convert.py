"""A saved Spark pipeline to an ONNX graph in double precision, with the interface that a function serves.

Inputs: one rank-1 tensor [N] per field, in order: tensor(string) for `string` ("\\0" is null, which StringIndexer
treats as it treats the unseen), tensor(double) for the rest (NaN is null). Outputs, rank-1 [N] too: `prediction`
(double); `probability_0`, ... (double) of a classifier that gives probabilities; `rawPrediction` (double), the raw score
of the second class, of a binary one that gives none; and, only when a stage can refuse a row, `invalid` (string): "" or
the column that was refused; the other outputs of such a row are NaN.

A stage that raises on a bad value (handleInvalid="error") refuses the row when the answer needs its output: Spark
computes no column that nobody asks for. A stage that drops rows ("skip") refuses the row always.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from jobs.bundle import saved
from jobs.bundle.check import check_estimator, check_supported, supported
from jobs.bundle.errors import BundleError, UnsupportedStage
from jobs.bundle.field import Field
from jobs.bundle.frame import Frame, Refusal, Scores, edge
from jobs.bundle.graph import Graph
from jobs.bundle.interface import INVALID, PREDICTION, PROBABILITY, RAW, check_names, fitting
from jobs.bundle.table import TABLE

__all__ = [
    "BundleError",
    "Field",
    "UnsupportedStage",
    "check_estimator",
    "check_supported",
    "supported",
    "to_onnx",
]


def to_onnx(model_dir: Path, inputs: Sequence[Field], task: str, classes: int | None) -> onnx.ModelProto:
    """Convert the pipeline that Spark saved in `model_dir`.

    Args:
        model_dir: what `PipelineModel.save` wrote, on local disk.
        inputs: the function's inputs in order, used by the pipeline or not.
        task: "binary", "multiclass" or "regression".
        classes: how many classes a classifier must have; None for regression.

    Raises:
        UnsupportedStage: a stage, or an option of one, has no ONNX form; all such stages are named.
        BundleError: the folder is no whole saved model, or the model does not fit `inputs`, `task` or `classes`.
    """
    check_names(inputs)
    stages = saved.read(model_dir)
    check_supported(each.class_name for stage in stages for each in (stage, *stage.models()))
    frame = edge(Graph(), inputs)
    for stage in stages:
        TABLE[stage.class_name].onnx(stage, frame)
    scores = fitting(frame.scores, task, classes)
    outputs = _outputs(frame, scores)
    return frame.graph.model(outputs, doc=f"{task}: {' > '.join(stage.name for stage in stages)}")


def _outputs(frame: Frame, scores: Scores) -> list[tuple[str, str, int]]:
    graph = frame.graph
    answers = {PREDICTION: scores.prediction}
    if scores.probability:
        answers |= {
            f"{PROBABILITY}{position}": graph.pick(scores.probability, position)
            for position in range(scores.classes or 0)
        }
    elif scores.raw and scores.classes == 2:
        answers[RAW] = graph.pick(scores.raw, 1)
    refusals = _reached(frame, scores)
    ends: list[tuple[str, str, int]] = []
    if refusals:
        mask = graph.concat([refusal.mask for refusal in refusals])
        names = [name for refusal in refusals for name in refusal.columns]
        bits = graph.cast(mask, TensorProto.UINT8)
        refused = graph.cast(
            graph.op("ReduceMax", bits, graph.constant([1], np.int64), keepdims=0), TensorProto.BOOL
        )
        first = graph.where(
            refused, graph.op("ArgMax", bits, axis=1, keepdims=0), graph.constant(len(names), np.int64)
        )
        ends = [(INVALID, graph.op("Gather", graph.strings([*names, ""]), first), TensorProto.STRING)]
        answers = {name: graph.where(refused, graph.nan(), answer) for name, answer in answers.items()}
    return [*((name, answer, TensorProto.DOUBLE) for name, answer in answers.items()), *ends]


def _reached(frame: Frame, scores: Scores) -> list[Refusal]:
    """The refusals that a row can meet on the way to the answer, in the order of the stages."""
    drops = {number for number, refusal in enumerate(frame.refusals) if refusal.drops}
    met, found = set(), drops | scores.lineage.refusals
    while found:
        met |= found
        found = {deeper for number in found for deeper in frame.refusals[number].lineage.refusals} - met
    return [frame.refusals[number] for number in sorted(met)]
