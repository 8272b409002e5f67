"""Stages that keep some features of a vector, in the order that they give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jobs.bundle.errors import UnsupportedStage
from jobs.bundle.frame import Frame, Vector
from jobs.bundle.saved import Stage


def slicer(stage: Stage, frame: Frame) -> None:
    """VectorSlicer by position. Raises UnsupportedStage where it goes by names: a saved pipeline has none."""
    if stage.params.get("names"):
        raise UnsupportedStage(
            f"VectorSlicer {stage.uid} selects by the names {list(stage.params['names'])}, which no saved pipeline holds",
            next_step="give it indices, or assemble only what is wanted",
        )
    _keep(stage, frame, stage.params["inputCol"], stage.params["indices"])


def selector(stage: Stage, frame: Frame) -> None:
    """ChiSqSelectorModel, UnivariateFeatureSelectorModel and VarianceThresholdSelectorModel: what fitting chose."""
    kept = [row["selectedFeatures"] for row in stage.table().to_pylist()]
    chosen = sorted(kept[0]) if kept and isinstance(kept[0], list) else sorted(kept)
    _keep(stage, frame, stage.params["featuresCol"], chosen)


def _keep(stage: Stage, frame: Frame, name: str, positions: Sequence[int]) -> None:
    column = frame.present_vector(name, stage.name)
    value = frame.graph.op("Gather", column.value, frame.graph.constant(positions, np.int64), axis=1)
    frame.columns[stage.params["outputCol"]] = Vector(value, len(positions), None, column.lineage)
