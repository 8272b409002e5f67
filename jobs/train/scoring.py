"""Spark's own answers on a frame, with a place for the rows that the model refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import DataFrame

PREDICTION = "_prediction"
PROBABILITY = "_probability_"
RAW = "_rawPrediction"


def score(model: PipelineModel, frame: DataFrame, keep: list[str], classes: int | None) -> pa.Table:
    """The columns `keep` of the rows that get an answer, with `_prediction` and what the model gives beside it.

    These are `_probability_<k>`, or `_rawPrediction` (that of class 1) of a binary model without probabilities; float64.
    Raises Spark's own exception where a stage refuses a row by raising (handleInvalid="error").
    """
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as F

    columns = [F.col(name) for name in keep]
    prediction = F.col("prediction")
    if classes is not None:
        # OneVsRest answers -1 where none of its scores is a number: no class.
        prediction = F.when(prediction >= 0, prediction)
    columns.append(prediction.alias(PREDICTION))
    if classes is not None and model.stages[-1].hasParam("probabilityCol"):
        probability = vector_to_array(F.col("probability"))
        columns += [probability[k].alias(f"{PROBABILITY}{k}") for k in range(classes)]
    elif classes == 2:
        columns.append(vector_to_array(F.col("rawPrediction"))[1].alias(RAW))
    return model.transform(frame).select(*columns).toArrow()


def spark_errors() -> tuple[type[Exception], ...]:
    """What a failing Spark action raises: an error that pyspark knows, or (from toArrow) py4j's own."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    return PySparkException, Py4JJavaError


def score_accepted(model: PipelineModel, frame: DataFrame, keep: list[str], classes: int | None) -> pa.Table:
    """As `score`, less the rows that the model refuses by raising: found by letting such stages skip instead."""
    try:
        return score(model, frame, keep, classes)
    except spark_errors():
        lenient = _skipping(model)
        if lenient is None:
            raise
        return score(lenient, frame, keep, classes)


def score_all(model: PipelineModel, frame: DataFrame, id_: str, classes: int | None) -> pa.Table:
    """Every row of the frame sorted by id, with its answer; null answers for rows that the model refuses."""
    rows = frame.orderBy(id_)
    table = rows.toArrow()
    answers = score_accepted(model, rows, [id_], classes)
    if answers.num_rows == table.num_rows:
        index: pa.Array = pa.array(np.arange(table.num_rows))
    else:
        index = pc.index_in(table[id_].combine_chunks(), value_set=answers[id_].combine_chunks())
    for name in answers.column_names[1:]:
        table = table.append_column(name, answers[name].combine_chunks().take(index))
    return table


def _skipping(model: PipelineModel) -> PipelineModel | None:
    """The model with every raising stage that can skip told to; None where there is no such stage."""
    from pyspark.ml.feature import OneHotEncoderModel

    raising: dict[Any, Any] = {
        stage.getParam("handleInvalid"): "skip"
        for stage in model.stages
        if stage.hasParam("handleInvalid")
        and stage.getOrDefault("handleInvalid") == "error"
        and not isinstance(stage, OneHotEncoderModel)
    }
    return model.copy(raising) if raising else None


Array = npt.NDArray[np.float64]


def arrays(
    table: pa.Table, label: str, classes: int | None
) -> tuple[Array, Array, Array | None, Array | None]:
    """Label, prediction [n], probabilities [n, K], raw [n] of a scored table, as jobs.common.metrics takes them."""
    probabilities = raw = None
    if f"{PROBABILITY}0" in table.column_names:
        probabilities = np.column_stack([_floats(table, f"{PROBABILITY}{k}") for k in range(classes or 0)])
    if RAW in table.column_names:
        raw = _floats(table, RAW)
    return _floats(table, label), _floats(table, PREDICTION), probabilities, raw


def _floats(table: pa.Table, name: str) -> Array:
    column = table[name].cast(pa.float64())
    return np.asarray(column.fill_null(float("nan")).to_numpy(), dtype=np.float64)
