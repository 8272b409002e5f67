"""Buttons on a task: its report, Data Docs, MLflow run and function."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs
from airflow.sdk import BaseOperatorLink

from penstock.record import Entry
from penstock.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

#: Where the MLflow UI answers, and the path of the artifact pages in Airflow's own server.
MLFLOW_UI = "PENSTOCK_MLFLOW_UI"
ARTIFACTS = "/penstock/artifacts"


@attrs.define()
class _StageLink(BaseOperatorLink):
    """Shows `operator.links[label]`, which the step has set; empty where the stage has no such thing."""

    label: str = ""

    @property
    def name(self) -> str:
        return self.label

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return str(getattr(operator, "links", {}).get(self.label, ""))


@attrs.define()
class ReportLink(_StageLink):
    label: str = "Report"


@attrs.define()
class DataDocsLink(_StageLink):
    label: str = "Data Docs"


@attrs.define()
class MlflowLink(_StageLink):
    label: str = "MLflow run"


@attrs.define()
class FunctionLink(_StageLink):
    label: str = "Function"


LINKS = (ReportLink(), DataDocsLink(), MlflowLink(), FunctionLink())


def links_of(entry: Entry, settings: Settings) -> dict[str, str]:
    """The URLs for what an entry left behind, by the button's label."""
    links: dict[str, str] = {}
    if entry.items and entry.stage == "validate_model":
        links["Report"] = f"{ARTIFACTS}/{entry.items[0].path}/report.html"
    if entry.items and entry.stage == "validate":
        links["Data Docs"] = f"{ARTIFACTS}/{entry.items[0].path}/docs/index.html"
    run, ui = entry.summary.get("mlflow_run_id"), os.environ.get(MLFLOW_UI)
    experiment = entry.summary.get("mlflow_experiment_id")
    if run and experiment and ui:
        links["MLflow run"] = f"{ui}/#/experiments/{experiment}/runs/{run}"
    if url := entry.summary.get("url"):
        links["Function"] = f"{url}/docs"
    return links
