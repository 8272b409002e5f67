"""MLflow as the jobs use it: its place, its experiment, nothing written elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.durable import says_no_room
from penstock.errors import PenstockError, StoreError
from penstock.redaction import redact
from penstock.registry import Registry
from penstock.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: From here on, SQLAlchemy's message is the statement and where to read about it.
_STATEMENT = "\n[SQL: "


def connect(settings: Settings, experiment: str, scratch: Path) -> tuple[MlflowClient, str]:
    """A client and the id of the pipeline's experiment, made if it is not there.

    Sets the process's tracking and registry URI, as model logging reads them from there.
    """
    os.environ["MLFLOW_DFS_TMP"] = str(scratch / "dfs")
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(settings.mlflow_uri)
    mlflow.set_registry_uri(settings.mlflow_uri)
    with Registry(settings.mlflow_uri).alone():
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(experiment)
    if found is None:
        try:
            # A server knows itself where its artifacts lie.
            own = f"file://{settings.mlflow_artifacts / experiment}"
            location = None if settings.mlflow_is_served else own
            return client, client.create_experiment(experiment, artifact_location=location)
        except MlflowException:  # made by another job in between
            found = client.get_experiment_by_name(experiment)
            assert found is not None
    return client, str(found.experiment_id)


def tag_run(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run in one request."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


@contextmanager
def told(settings: Settings) -> Iterator[None]:
    """Turn what MLflow raises (its database is locked, gone or full, its server is down) into a PenstockError."""
    try:
        yield
    except Exception as error:
        # By name, as importing MLflow is what may have failed. What SQLAlchemy says of a database that cannot be
        # opened passes through MLflow as it is.
        if type(error).__module__ not in ("mlflow.exceptions", "sqlalchemy.exc"):
            raise
        text = str(error).partition(_STATEMENT)[0]
        kind = StoreError if says_no_room(text) else PenstockError
        raise kind(
            redact(f"MLflow at {settings.mlflow_uri} refused: {text}"),
            next_step="see that it is up and its disk not full, then run again; what was done before is kept",
        ) from error
