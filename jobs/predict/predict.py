"""A CSV or Parquet of feature rows in, the same rows with the model's answers out: one file, whole or not at all.

No stage of the chain: nothing is kept by key. The request has one item, whose spec holds `data` and `output` (paths),
`result` (a file for what to say), `version`, `inputs`, `classes`; its input `train` has the model.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.predict import merge
from penstock import settings
from penstock.errors import DataError
from penstock.store import Store
from penstock.work import Item, Request

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import DataFrame, SparkSession

#: What a text column of numbers says for null, beside nothing (as a source does by default).
_NULL = "NA"
_ANSWERS = ("prediction", "version")
#: The Spark type of each input type.
_TYPES = {
    "string": "string", "double": "double", "float": "float", "long": "bigint", "int": "int", "boolean": "boolean",
}  # fmt: skip


def predict(request: Request) -> None:
    """Score the table that the request names.

    Raises DataError where the table cannot be read, lacks a column (every one is named), holds a value that is not
    of its column's type, or the model refuses a row by raising.
    """
    from jobs.common.spark import session

    here = settings.load()
    (item,) = request.items
    temporary = here.var / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="predict-", dir=temporary))
    try:
        spark = session(f"{request.pipeline} predict", scratch=scratch)
        try:
            model = Store(here.store).fetch(f"{item.inputs['train'].path}/model", scratch)
            said = score(spark, model, item, scratch / "parts")
        finally:
            spark.stop()
        Path(item.spec["result"]).write_text(json.dumps(said))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def score(spark: SparkSession, model_folder: Path, item: Item, parts: Path) -> dict[str, int]:
    """Score an item's table, with Spark's part files in `parts`; how many rows were written, and how many not.

    Raises DataError as `predict` does.
    """
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException
    from pyspark.ml import PipelineModel

    from jobs.common.spark import uri

    spec = item.spec
    output = Path(spec["output"])
    rows = _read(spark, spec["data"], spec["inputs"])
    model = PipelineModel.load(uri(model_folder))
    print(f"[progress] predict 1/3 version {spec['version']} loaded", flush=True)
    try:
        given = rows.count()
        answers = _answers(model, rows, spec)
        if output.suffix == ".csv":
            answers.write.options(nullValue="", emptyValue='""', escape='"').csv(str(parts))
        else:
            answers.write.parquet(str(parts))
    except (PySparkException, Py4JJavaError) as error:  # pyspark converts only some of the JVM's errors
        if found := _refused(str(error)):
            raise DataError(
                f"version {spec['version']} refuses a row of {spec['data']}: {found}",
                next_step="mend or leave out such rows, or let the stage keep them (handleInvalid='keep') and run again",
            ) from error
        raise
    print(f"[progress] predict 2/3 {given:,} rows scored", flush=True)
    written = merge.into(output, parts, answers.columns)
    print(f"[progress] predict 3/3 {written:,} rows written", flush=True)
    return {"rows": written, "refused": given - written}


def _read(spark: SparkSession, data: str, inputs: list[dict[str, str]]) -> DataFrame:
    """The rows with the inputs in their types, beside whatever else the table has."""
    from pyspark.errors import AnalysisException

    text = not data.removesuffix("/").endswith(".parquet")
    try:
        # A quoted value may hold quotes (doubled, as everyone but Spark writes them) and line breaks.
        csv = spark.read.options(header=True, nullValue=_NULL, escape='"', multiLine=True)
        frame = csv.csv(data) if text else spark.read.parquet(data)
    except AnalysisException as error:
        raise DataError(
            f"{data} cannot be read: {str(error).splitlines()[0]}",
            next_step="give a CSV with a header, or Parquet",
        ) from error
    if missing := [each["name"] for each in inputs if each["name"] not in frame.columns]:
        raise DataError(
            f"{data} lacks {', '.join(missing)}; its columns: {', '.join(frame.columns)}",
            next_step="add the columns: they are those of features(), less the label, the time and the id",
        )
    if taken := [name for name in frame.columns if name in _ANSWERS or name.startswith("probability_")]:
        raise DataError(
            f"{data} has columns with the names of answers: {', '.join(taken)}",
            next_step="rename or drop them",
        )
    return _typed(frame, data, inputs)


def _typed(frame: DataFrame, data: str, inputs: list[dict[str, str]]) -> DataFrame:
    from pyspark.sql import functions as F

    wrong = None
    for each in inputs:
        name, wanted = each["name"], _TYPES[each["type"]]
        column = F.col(f"`{name}`")
        cast = column.try_cast(wanted)
        bad = column.isNotNull() & cast.isNull()
        fault = F.when(bad, F.concat(F.lit(f"{name} (expected {each['type']}): "), column.cast("string")))
        wrong = fault if wrong is None else F.coalesce(wrong, fault)
    assert wrong is not None, "a function has at least one input"
    found = frame.select(wrong.alias("wrong")).where(F.col("wrong").isNotNull()).first()
    if found is not None:
        raise DataError(
            f"{data} has a value of another type in {found['wrong']!r}", next_step="correct the value"
        )
    types = {each["name"]: _TYPES[each["type"]] for each in inputs}
    return frame.select(
        *[F.col(f"`{n}`").cast(types[n]).alias(n) if n in types else F.col(f"`{n}`") for n in frame.columns]
    )


def _answers(model: PipelineModel, rows: DataFrame, spec: dict[str, Any]) -> DataFrame:
    """The rows' columns, then prediction (a class by its own value), probability_<class> where given, version."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as F

    classes: list[Any] | None = spec["classes"]
    columns = [F.col(f"`{name}`") for name in rows.columns]
    prediction = F.col("prediction")
    if classes is None:
        columns.append(prediction)
    else:
        labels = F.array(*[F.lit(value) for value in classes])
        # OneVsRest answers -1 where none of its scores is a number: no class.
        answer = F.element_at(labels, (prediction + 1).cast("int"))
        columns.append(F.when(prediction >= 0, answer).alias("prediction"))
    if classes is not None and model.stages[-1].hasParam("probabilityCol"):
        probability = vector_to_array(F.col("probability"))
        columns += [probability[k].alias(f"probability_{value}") for k, value in enumerate(classes)]
    return model.transform(rows).select(*columns, F.lit(spec["version"]).alias("version"))


def _refused(error: str) -> str | None:
    """What Spark says of a row that a stage refused, without its stack; None where it failed of something else."""
    for line in error.splitlines():
        if "Unseen label" in line or "handleInvalid" in line or "Encountered NaN" in line:
            return line.strip()[:300]
    return None
