"""Exactly one logged model and one registered version per training key, however often and by whom it is asked.

All of it happens under a lock of the store, and each step finds what an earlier attempt left: a process killed
anywhere leaves nothing that a second one would make twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.register import mlflow_model
from jobs.register.mlflow_model import Servable
from penstock.registry import CHALLENGER, KEY, PROMOTED_AT, REGISTER_PATH, Registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

#: The digest of the graph that a logged model holds; set after its files are there.
_GRAPH = "penstock.graph"


@dataclass(frozen=True)
class Registration:
    """What a version is made from: the pipeline, its problem in words, the training key and run, the tags."""

    name: str
    problem: str
    key: str
    run_id: str
    experiment: str
    graph_digest: str
    params: Mapping[str, str]
    tags: Mapping[str, str]


def logged_model(
    client: MlflowClient, wanted: Registration, servable: Servable, scratch: Path
) -> LoggedModel:
    """The logged model of the training key, its files written where they are not there yet or of another graph."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    found = client.search_logged_models([wanted.experiment], f"tags.`{KEY}` = '{wanted.key}'")
    model = (
        found[0]
        if found
        else client.create_logged_model(
            wanted.experiment,
            name=f"{wanted.name}-{wanted.key[:12]}",
            source_run_id=wanted.run_id,
            tags={KEY: wanted.key},
            params=dict(wanted.params),
            model_type="penstock",
        )
    )
    if model.tags.get(_GRAPH) != wanted.graph_digest:
        mlflow_model.write(scratch / "mlflow", servable, model)
        client.log_model_artifacts(model.model_id, str(scratch / "mlflow"))
        client.set_logged_model_tags(model.model_id, {_GRAPH: wanted.graph_digest})
    if model.status != LoggedModelStatus.READY:
        model = client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    outputs = client.get_run(wanted.run_id).outputs
    known = {output.model_id for output in outputs.model_outputs} if outputs else set()
    if model.model_id not in known:  # MLflow refuses to be told twice
        client.log_outputs(wanted.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model


def expected(registry: Registry, wanted: Registration) -> str:
    """The number that `registered` will give, unless somebody else registers a version before."""
    version = registry.by_key(wanted.name, wanted.key)
    if version is not None:
        return version.version
    return str(max((int(known.version) for known in registry.versions(wanted.name)), default=0) + 1)


def registered(registry: Registry, wanted: Registration, model: LoggedModel) -> str:
    """The number of the version of the training key, made if it is not there; it becomes the challenger."""
    from mlflow.exceptions import MlflowException

    client = registry.client
    version = registry.by_key(wanted.name, wanted.key)
    if version is None:
        try:
            client.create_registered_model(wanted.name, description=wanted.problem)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # With its tags in one step: a version without its key could not be found again.
        made = client.create_model_version(
            wanted.name,
            source=f"models:/{model.model_id}",
            run_id=wanted.run_id,
            tags=dict(wanted.tags),
            model_id=model.model_id,
        )
        number = str(made.version)
    else:
        number = version.version
        # Another register code or spec made another package of the same model. A version that was live leads to the
        # package that was judged and served until another one of it passed: promoting moves the tag.
        kept = {REGISTER_PATH} if PROMOTED_AT in version.tags else set()
        registry.tag(wanted.name, number, {k: v for k, v in wanted.tags.items() if k not in kept})
    link = [{"name": wanted.name, "version": number}]
    client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": json.dumps(link)})
    champion = registry.champion(wanted.name)
    if champion is None or champion.version != number:
        registry.set_alias(wanted.name, CHALLENGER, number)
    return number
