"""Buttons on a task: its report, the Data Docs of each source, MLflow run and function."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import attrs
from airflow.sdk import BaseOperatorLink, conf

from penstock.record import Entry
from penstock.spec.pipeline import Pipeline

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: Where the MLflow UI answers, and the path of the artifact pages in Airflow's own server.
MLFLOW_UI = "PENSTOCK_MLFLOW_UI"
ARTIFACTS = "/penstock/artifacts"


@attrs.define()
class StageLink(BaseOperatorLink):
    """Shows `operator.links[label]`, which the step has set; empty, and so not shown, where it left no such thing."""

    label: str

    @property
    def name(self) -> str:
        return self.label

    @property
    def xcom_key(self) -> str:
        """Where Airflow keeps the URL: a key a label, as it stands in a URL's path."""
        return f"_link_{re.sub(r'[^A-Za-z0-9]+', '_', self.label)}"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return str(getattr(operator, "links", {}).get(self.label, ""))


#: The buttons that any stage may have.
LINKS = tuple(map(StageLink, ("Report", "MLflow run", "Spark history", "Function")))


def buttons(pipeline: Pipeline, stage: str) -> list[BaseOperatorLink]:
    """What Airflow is told of a task's buttons before it runs: Data Docs are one a source, as each has its own."""
    if stage == "validate":
        return [StageLink(_data_docs(source.name)) for source in pipeline.sources]
    return list(LINKS)


def links_of(entry: Entry) -> dict[str, str]:
    """The URLs for what an entry left behind, by the button's label."""
    links: dict[str, str] = {}
    if entry.items and entry.stage == "validate_model":
        links["Report"] = f"{ARTIFACTS}/{entry.items[0].path}/report.html"
    if entry.stage == "validate":
        for item in entry.items:
            source = item.subject.partition("@")[0]
            links[_data_docs(source)] = f"{ARTIFACTS}/{item.path}/docs/index.html"
    run, ui = entry.summary.get("mlflow_run_id"), os.environ.get(MLFLOW_UI)
    experiment = entry.summary.get("mlflow_experiment_id")
    if run and experiment and ui:
        links["MLflow run"] = f"{ui}/#/experiments/{experiment}/runs/{run}"
    application = entry.summary.get("spark_application")
    history = conf.get("penstock", "history_server", fallback=None)
    if application and history:
        links["Spark history"] = f"{history}/history/{application}"
    if url := entry.summary.get("url"):
        links["Function"] = f"{url}/docs"
    return links


def _data_docs(source: str) -> str:
    return f"Data Docs: {source}"
