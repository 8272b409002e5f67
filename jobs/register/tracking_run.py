"""What register adds to training's MLflow run: where the model comes from, in MLflow's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.results import StageResult
from penstock.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput


def training_run(client: MlflowClient, experiment: str, train: StageResult) -> str:
    """The id of training's run, made anew where MLflow has lost it (its database was removed, say)."""
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException

    run_id = train.summary.get("mlflow_run_id")
    if run_id:
        try:
            if client.get_run(run_id).info.lifecycle_stage == "active":
                return str(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    found = client.search_runs([experiment], f"tags.`penstock.restored` = '{train.key}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {"penstock.restored": train.key, "penstock.key": train.key}
    run = client.create_run(experiment, tags=tags, run_name=f"train {train.key[:12]} (restored)")
    started = run.info.start_time
    client.log_batch(
        run.info.run_id,
        metrics=[
            Metric(name, value, started, 0)
            for name, value in train.summary["metrics"].items()
            if value is not None
        ],
        params=[Param(name, str(value)) for name, value in train.summary["params"].items()],
    )
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def datasets(store: Store, features: StageResult) -> list[DatasetInput]:
    """The training data as MLflow's dataset inputs: the splits of features, and each collected source.

    Their digests are ours, of content: the same data has the same digest in every run.
    """
    found = [
        _dataset(store, split, features.digest, f"{features.path}/{split}", context, rows)
        for split, context in (("train", "training"), ("validation", "validation"), ("holdout", "holdout"))
        if (rows := features.summary.get("rows", {}).get(split)) is not None
    ]
    found += [
        _dataset(store, name, source.digest, f"{source.path}/data.parquet", "source", None)
        for name, source in sorted(features.inputs.items())
        if source.path
    ]
    return found


def _dataset(store: Store, name: str, digest: str, path: str, context: str, rows: int | None) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=name,
        digest=digest,
        source_type="local" if store.local else "http",
        source=json.dumps({"uri": store.uri_of(path)}),
        profile=None if rows is None else json.dumps({"num_rows": rows}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def log_model_metrics(
    client: MlflowClient,
    run_id: str,
    model: Any,
    metrics: Mapping[str, float | None],
    holdout: Sequence[DatasetInput],
) -> None:
    """Say how the model did on the holdout, so that MLflow shows it beside the model and its data; null: unknown."""
    from mlflow.entities import Metric

    dataset = holdout[0].dataset if holdout else None
    client.log_batch(
        run_id,
        metrics=[
            Metric(
                f"holdout/{name}",
                value,
                # The same time in each attempt: logged again it is the same metric, not a second one.
                model.creation_timestamp,
                0,
                model_id=model.model_id,
                dataset_name=None if dataset is None else dataset.name,
                dataset_digest=None if dataset is None else dataset.digest,
            )
            for name, value in metrics.items()
            if value is not None
        ],
    )
