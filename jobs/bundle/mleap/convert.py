"""A saved Spark pipeline to a Bundle.ML zip, for the function of the kind mleap.

Its inputs are the function's by their names, numbers as double; a number that a StringIndexer reads is there as text too
(frame.text_of). Its outputs, named by the ports of the pipeline's own node, are `prediction` (double) and, of a
classifier, `probability` (a vector). On a row that a stage would refuse MLeap raises, or drops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jobs.bundle import saved
from jobs.bundle.check import check_supported
from jobs.bundle.field import Field
from jobs.bundle.interface import check_names, fitting
from jobs.bundle.mleap.bundle import Bundle
from jobs.bundle.mleap.frame import edge
from jobs.bundle.table import TABLE


def to_mleap(model_dir: Path, inputs: Sequence[Field], task: str, classes: int | None) -> bytes:
    """Convert the pipeline that Spark saved in `model_dir`; the zip's bytes, the same for the same model.

    Args:
        model_dir: what `PipelineModel.save` wrote, on local disk.
        inputs: the function's inputs in order, used by the pipeline or not.
        task: "binary", "multiclass" or "regression".
        classes: how many classes a classifier must have; None for regression.

    Raises:
        UnsupportedStage: a stage, or an option of one, has no op in MLeap.
        BundleError: the folder is no whole saved model, or the model does not fit `inputs`, `task` or `classes`.
    """
    check_names(inputs)
    stages = saved.read(model_dir)
    check_supported((stage.class_name for stage in stages), "mleap")
    bundle = Bundle()
    frame = edge(bundle, inputs)
    for stage in stages:
        convert = TABLE[stage.class_name].mleap
        assert convert is not None  # it is supported
        convert(stage, frame)
    return bundle.to_zip(fitting(frame.scores, task, classes).outputs)
