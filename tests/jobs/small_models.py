"""Small real models, trained by Spark and laid into a store as training leaves them (fixture `trained_store`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pyspark.ml import Pipeline
from pyspark.ml.classification import GBTClassifier, LinearSVC, LogisticRegression
from pyspark.ml.feature import Imputer, OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.ml.regression import LinearRegression

from jobs.features.contract import types_of
from jobs.features.reference import describe
from penstock import keys
from penstock.results import Input, StageResult
from penstock.store import Store
from tests.jobs.frames import frame_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

INPUTS = [
    {"name": "origin", "type": "string"},
    {"name": "distance", "type": "double"},
    {"name": "hour", "type": "int"},
    {"name": "seats", "type": "long"},
]
FEATURES = [entry["name"] for entry in INPUTS]
SCHEMA = "id string, time timestamp, label double, origin string, distance double, hour int, seats long"
#: Rows of the holdout: some 400 of each origin, enough for a slice.
HOLDOUT = 1200
ORIGINS = ["EWR", "JFK", "LGA"]


def table(rows: int, seed: int, task: str) -> pd.DataFrame:
    """Rows with nulls in each feature, and a label that `hour` and `origin` tell something of."""
    draw = np.random.default_rng(seed)
    origin = draw.choice(ORIGINS, rows)
    hour = draw.integers(5, 23, rows)
    distance = draw.gamma(2.0, 500.0, rows)
    seats = draw.integers(20, 400, rows)
    signal = 0.25 * (hour - 14) + 0.8 * (origin == "EWR") + 0.0004 * distance + draw.normal(0, 1, rows)
    label = {
        "binary": (signal > 1.0).astype(float),
        "multiclass": np.digitize(signal, [-0.5, 1.0]).astype(float),
        "regression": 10 * signal,
    }[task]
    frame = pd.DataFrame(
        {
            "id": [f"{number:06d}" for number in range(rows)],
            "time": pd.Timestamp("2013-06-01") + pd.to_timedelta(np.arange(rows), "min"),
            "label": label,
            "origin": pd.Series(origin, dtype=object),
            "distance": distance,
            "hour": pd.Series(hour, dtype=object),
            "seats": pd.Series(seats, dtype=object),
        }
    )
    for name in FEATURES:
        frame.loc[draw.random(rows) < 0.03, name] = None
    return frame


def estimator(task: str, columns: list[str], trees: int, *, probable: bool) -> Pipeline:
    """Indexed and encoded strings, imputed numbers, and a model of the task over `columns`."""
    numbers = [name for name in columns if name != "origin"]
    stages: list[Any] = []
    parts = [f"{name}_filled" for name in numbers]
    stages.append(Imputer(inputCols=numbers, outputCols=parts))
    if "origin" in columns:
        stages.append(StringIndexer(inputCol="origin", outputCol="origin_index", handleInvalid="keep"))
        stages.append(OneHotEncoder(inputCols=["origin_index"], outputCols=["origin_vector"]))
        parts = [*parts, "origin_vector"]
    stages.append(VectorAssembler(inputCols=parts, outputCol="features"))
    if task == "regression":
        model: Any = LinearRegression(regParam=0.01)
    elif not probable:
        model = LinearSVC(regParam=0.01, maxIter=8)
    elif task == "binary" and trees:
        model = GBTClassifier(maxIter=trees, maxDepth=3, seed=7)
    else:
        model = LogisticRegression(regParam=0.01, maxIter=8)
    return Pipeline(stages=[*stages, model])


def lay(
    spark: SparkSession,
    store: Store,
    *,
    pipeline: str,
    name: str,
    task: str = "binary",
    columns: list[str] | None = None,
    trees: int = 3,
    rows: int = 1500,
    probable: bool = True,
) -> StageResult:
    """Train a model and commit it as the result of stage train, with one of stage features before it.

    `probable`: whether a classifier gives probabilities.
    """
    columns = columns or FEATURES
    train, holdout = table(rows, 1, task), table(HOLDOUT, 2, task)
    fitted = estimator(task, columns, trees, probable=probable).fit(
        frame_of(spark, SCHEMA, _rows(train)).cache()
    )
    classes = None if task == "regression" else sorted({int(value) for value in train["label"]})
    count = 0 if classes is None or not probable else len(classes)

    def scored(frame: pd.DataFrame) -> pd.DataFrame:
        answers = fitted.transform(frame_of(spark, SCHEMA, _rows(frame)))
        vector = vector_to_array("probability") if count else None
        shares = [vector[index].alias(f"_probability_{index}") for index in range(count)]
        scores = [answers["prediction"].alias("_prediction"), *shares]
        if not probable:
            scores.append(vector_to_array("rawPrediction")[1].alias("_rawPrediction"))
        return answers.select("id", "time", "label", *FEATURES, *scores).toPandas()

    judged = scored(holdout)
    samples = _perturbed(holdout.head(30))
    features = _features(store, pipeline, name, spark.createDataFrame(_rows(train), SCHEMA), rows)
    folder = f"{pipeline}/train/{keys.digest(['train', name])}/attempt"
    target = Path(store.path(folder))
    fitted.write().overwrite().save(store.uri_of(f"{folder}/model"))
    judged.to_parquet(target / "holdout.parquet", index=False)
    (target / "samples.json").write_text(json.dumps(_answers(samples, scored(samples), classes)))
    (target / "trials.json").write_text("[]")
    from jobs.common.metrics import compute

    probabilities = judged[[f"_probability_{index}" for index in range(count)]].to_numpy() if count else None
    raw = None if probable else judged["_rawPrediction"].to_numpy()
    metrics = compute(task, judged["label"].to_numpy(), judged["_prediction"].to_numpy(), probabilities, raw)
    summary = {
        "metrics": {name: value for name, value in metrics.items() if np.isfinite(value)},
        "base_rate": float(judged["label"].mean()),
        "params": {"maxIter": trees},
        "trials": 1,
        "classes": classes,
        "inputs": INPUTS,
        "rows": {"train": rows, "holdout": HOLDOUT},
        "mlflow_run_id": "",
        "stages": [type(stage).__name__ for stage in fitted.stages],
    }
    return _commit(store, pipeline, "train", name, summary, {"features": features.as_input()})


def _rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows as Python's own values, None for null."""
    convert: list[Callable[[Any], Any]] = [str, pd.Timestamp.to_pydatetime, float, str, float, int, int]
    return [
        tuple(None if pd.isna(value) else to(value) for to, value in zip(convert, row, strict=True))
        for row in frame.itertuples(index=False)
    ]


def _features(store: Store, pipeline: str, name: str, train: DataFrame, rows: int) -> StageResult:
    """Commit a result of stage features, which has no more than its reference of the training rows."""
    result = _commit(store, pipeline, "features", name, {"rows": {"train": rows, "holdout": HOLDOUT}}, {})
    roles = {"id": "id", "time": "time", "label": "label"}
    reference = {"columns": describe(train, types_of(train), roles)}
    store.write_json(f"{result.path}/reference.json", reference)
    return result


def _commit(
    store: Store, pipeline: str, stage: str, name: str, summary: dict[str, Any], inputs: dict[str, Input]
) -> StageResult:
    key = keys.digest([stage, name])
    return store.commit(
        StageResult(
            pipeline=pipeline, stage=stage, subject="", key=key, attempt="attempt", digest=key, state="ran",
            summary=summary, inputs=inputs, started="2013-07-01T00:00:00+00:00", seconds=1.0,
        )
    )  # fmt: skip


def _perturbed(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, then copies of the first: each feature null in turn, and an origin that nobody has seen."""
    extra = []
    for name in FEATURES:
        row = rows.head(1).copy()
        row[name] = None
        extra.append(row)
    unseen = rows.head(1).copy()
    unseen["origin"] = "XXX"
    made = pd.concat(
        [rows.astype(object), *(row.astype(object) for row in [*extra, unseen])], ignore_index=True
    )
    made["id"] = [f"{number:06d}" for number in range(len(made))]
    return made.astype({"label": float, "distance": float})


def _answers(samples: pd.DataFrame, scored: pd.DataFrame, classes: list[int] | None) -> dict[str, Any]:
    convert: dict[str, Callable[[Any], Any]] = {"origin": str, "distance": float, "hour": int, "seats": int}
    records = [
        {name: None if pd.isna(row[name]) else convert[name](row[name]) for name in FEATURES}
        for _, row in samples.iterrows()
    ]
    answers = []
    for _, row in scored.iterrows():
        if classes is None:
            answers.append({"prediction": float(row["_prediction"])})
        else:
            answer: dict[str, Any] = {"prediction": classes[int(row["_prediction"])]}
            if "_probability_0" in row:
                answer["probability"] = {
                    str(name): float(row[f"_probability_{index}"]) for index, name in enumerate(classes)
                }
            answers.append(answer)
    return {"records": records, "answers": answers}
