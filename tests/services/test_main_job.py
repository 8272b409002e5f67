"""The whole main job with its state beside it: the store on S3, Airflow and MLflow on PostgreSQL, MLflow behind HTTP."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.store import Store
from tests.e2e.conftest import ROOT, Project
from tests.e2e.ends import PIPELINE, ROW, scaffold
from tests.servers import S3, mlflow_server

pytestmark = [pytest.mark.services, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory, database: Callable[[str], str]) -> Iterator[str]:
    """MLflow's server as a team runs it: its database PostgreSQL, its artifacts behind itself."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), database("mlflow")) as url:
        yield url


@pytest.fixture(scope="module")
def project(
    make_project: Callable[[], Project], s3: S3, mlflow: str, database: Callable[[str], str]
) -> Project:
    """The scaffold's pipeline with all services up."""
    made = make_project()
    where = {
        **s3.environment,
        "PENSTOCK_STORE": "s3://penstock/main",
        "PENSTOCK_MLFLOW_URI": mlflow,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database("airflow"),
    }
    (block,) = re.findall(r"```bash\n(.*?)```", (ROOT / "docs/services.md").read_text(), re.DOTALL)
    assert set(re.findall(r"(\w+)=", block)) == set(where), (
        "docs/services.md names the variables that are set here"
    )
    made.environment.update(where)
    scaffold(made)
    made.penstock("up")
    return made


@pytest.fixture(scope="module")
def first(project: Project) -> Any:
    """The answer of a first run, by Airflow."""
    return project.penstock("run", PIPELINE, "--airflow")


def test_it_ends_on_a_live_function(project: Project, first: Any) -> None:
    """Every stage ran, every gate passed, and the function answers as the version that the registry has."""
    assert first["state"] == "succeeded"
    assert {stage["state"] for stage in first["stages"]} == {"ran"}
    assert all(gate["passed"] for gate in first["gates"])
    answer = project.penstock("invoke", PIPELINE, "--data", json.dumps(ROW))
    assert answer["answer"]["version"] == first["version"] == "1"
    status = project.penstock("status", PIPELINE)["pipelines"][0]
    assert (status["champion"]["version"], status["serving"]) == ("1", "1")


def test_all_artifacts_are_in_the_bucket(project: Project, first: Any, s3: S3) -> None:
    """Nothing of a run stays on the machine's disk but logs."""
    assert not (project.var / "store").exists()
    assert not (project.var / "mlflow" / "mlflow.db").exists()
    assert not (project.var / "airflow" / "airflow.db").exists()
    assert list((project.var / "tmp").iterdir()) == []
    store = Store("s3://penstock/main")
    assert set(store.names(PIPELINE)) == {
        "_runs", "collect", "deploy", "features", "register", "train", "validate", "validate_model",
    }  # fmt: skip


def test_nothing_changed_nothing_runs(project: Project, first: Any) -> None:
    """By Airflow and in a terminal alike, a second run reuses what the first one left in the bucket."""
    for how in (["--airflow"], []):
        again = project.penstock("run", PIPELINE, *how)
        assert (again["state"], again["version"]) == ("succeeded", "1")
        assert {stage["state"] for stage in again["stages"]} == {"reused"}


def test_the_report_is_shown_from_the_bucket(project: Project, first: Any) -> None:
    """Airflow's server reads the page of the task's button from the store."""
    with project.airflow() as client:
        links = f"/api/v2/dags/{PIPELINE}/dagRuns/{first['run']}/taskInstances/validate_model/links"
        report = client.get(client.get(links).json()["extra_links"]["Report"])
        assert report.status_code == 200
        assert PIPELINE in report.text


def test_a_strangers_client_reads_the_model(project: Project, first: Any, stranger: Any, mlflow: str) -> None:
    """MLflow's own client, with none of our code, loads the champion through the server and scores with it."""
    code = (
        "import sys, mlflow, pandas; mlflow.set_tracking_uri(sys.argv[1])\n"
        f"model = mlflow.pyfunc.load_model('models:/{PIPELINE}@champion')\n"
        f"print(len(model.predict(pandas.DataFrame([{ROW!r}]))))"
    )
    assert stranger(code, mlflow)[0].splitlines()[-1] == "1"


def test_the_champion_scores_a_table(project: Project, first: Any, tmp_path: Path) -> None:
    """The Spark model comes from the bucket too."""
    given, scored = tmp_path / "in.csv", tmp_path / "out.csv"
    with given.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROW))
        writer.writeheader()
        writer.writerow(ROW)
    project.penstock("predict", PIPELINE, str(given), str(scored))
    with scored.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["version"] == "1"


def test_what_nothing_leads_to_is_found(project: Project, first: Any) -> None:
    """gc looks through the bucket, and finds all of it reached."""
    assert project.penstock("gc")["garbage"] == []


def test_no_secret_is_written_down(project: Project, first: Any, s3: S3) -> None:
    """Neither the logs nor the records hold the bucket's key or the databases' password."""
    database = project.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    secrets = [s3.login["AWS_SECRET_ACCESS_KEY"], database.split(":")[2].split("@")[0]]
    found = [
        (path, secret)
        for path in project.var.rglob("*")
        if path.is_file()
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]
    assert found == []
