"""The main job through Airflow itself: scheduler, tasks, backfill, notes, links; on a sample of the real flights."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from penstock.record import Runs
from penstock.registry import CHAMPION, Registry
from penstock.store import Store
from tests.e2e.conftest import ROOT, Project
from tests.servers import until

pytestmark = [pytest.mark.e2e, pytest.mark.airflow, pytest.mark.spark, pytest.mark.timeout(1800)]

PIPELINE = "flight_delays"
#: Every third flight: enough for a model that passes, small enough for a test.
EVERY = 3


@pytest.fixture(scope="module")
def up(make_project: Callable[[], Project]) -> Project:
    """A project with the example pipeline, sampled data, and all services running."""
    project = make_project()
    shutil.copytree(ROOT / "dags" / PIPELINE, project.root / "dags" / PIPELINE)
    shutil.copy(ROOT / "dags" / ".airflowignore", project.root / "dags")
    shutil.copytree(ROOT / "expectations" / PIPELINE, project.root / "expectations" / PIPELINE)
    # Short trials: this test is about the way, not about the best model.
    spec = project.root / "dags" / PIPELINE / "pipeline.py"
    spec.write_text(spec.read_text().replace("trials=4", "trials=1"))
    subprocess.run(
        [sys.executable, "-m", "demo.flights"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        env={**project.environment, "PENSTOCK_VAR": str(project.var)},
    )  # fmt: skip
    for path in (project.var / "data" / "flights").glob("*/*.csv.gz"):
        header, *rows = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        path.write_bytes(gzip.compress(header + b"".join(rows[::EVERY]), mtime=0))
    project.penstock("up")
    return project


class Api:
    """Airflow's REST API as the generated admin."""

    def __init__(self, project: Project) -> None:
        self.client = project.airflow()

    def get(self, path: str) -> Any:
        answer = self.client.get(f"/api/v2{path}")
        answer.raise_for_status()
        return answer.json()

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/dags/{PIPELINE}/dagRuns")["dag_runs"]
        return found


@pytest.fixture(scope="module")
def june(up: Project) -> dict[str, Any]:
    """The answer of a first run for June, through Airflow."""
    answer: dict[str, Any] = up.penstock(
        "run", PIPELINE, "--airflow", "--date", "2013-06-15", "--note", "first"
    )
    return answer


def test_from_raw_tables_to_an_answer(up: Project, june: dict[str, Any]) -> None:
    """Every stage ran in Airflow, every gate passed, and the function answers as the registered version."""
    assert june["state"] == "succeeded"
    assert {stage["state"] for stage in june["stages"]} == {"ran"}
    assert [gate["name"] for gate in june["gates"] if not gate["passed"]] == []
    samples = next((up.var / "host/functions" / PIPELINE).glob("revisions/*/samples.json"))
    asked = json.loads(samples.read_text())
    answer = httpx.post(f"{june['url']}/predict", json=asked["records"][0], trust_env=False).json()
    assert answer["version"] == june["version"] == "1"
    for label, probability in asked["answers"][0]["probability"].items():
        assert answer["probability"][label] == pytest.approx(probability, abs=1e-9)


def test_the_run_carries_its_verdict_and_links(up: Project, june: dict[str, Any]) -> None:
    """The run's note is the person's, with state and version; its tasks link to report, Data Docs, MLflow and function."""
    api = Api(up)
    run = next(run for run in api.runs() if run["dag_run_id"] == june["run"])
    assert run["note"] == "first\n\n▸ succeeded: interval 2013-06-01, version 1"
    base = f"/dags/{PIPELINE}/dagRuns/{june['run']}/taskInstances"
    report = api.get(f"{base}/validate_model/links")["extra_links"]["Report"]
    page = api.client.get(report)
    assert page.status_code == 200
    assert "flight_delays" in page.text
    newest = api.get(f"{base}/validate/links?map_index=2")["extra_links"]
    assert set(newest) == {f"Data Docs: {source}" for source in ("flights", "weather", "planes", "airports")}
    for label, docs in newest.items():
        assert f"{label.removeprefix('Data Docs: ')}@2013-06-01" in api.client.get(docs).text
    # A snapshot is read, and so checked, with the newest interval only.
    older = api.get(f"{base}/validate/links?map_index=0")["extra_links"]
    assert [label for label, docs in older.items() if docs is None] == [
        "Data Docs: airports",
        "Data Docs: planes",
    ]
    assert "/runs/" in api.get(f"{base}/train/links")["extra_links"]["MLflow run"]
    function = api.get(f"{base}/deploy/links")["extra_links"]["Function"]
    assert httpx.get(function, trust_env=False).status_code == 200


def test_reports_need_a_login(up: Project, june: dict[str, Any]) -> None:
    """A report is not shown to whoever does not say who they are, nor is anything else of the store."""
    api = Api(up)
    path = api.get(f"/dags/{PIPELINE}/dagRuns/{june['run']}/taskInstances/validate_model/links")[
        "extra_links"
    ]["Report"]
    base = str(api.client.base_url)
    assert httpx.get(base + path, trust_env=False).status_code in (401, 403)
    other = path.rsplit("/", 1)[0] + "/../../../../_format.json"
    assert api.client.get(other).status_code in (404, 405)


def test_unchanged_means_no_job(up: Project, june: dict[str, Any]) -> None:
    """The same interval again: every stage is reused, and no job process is started."""
    before = _results(up)
    again = up.penstock("run", PIPELINE, "--airflow", "--date", "2013-06-15")
    assert again["state"] == "succeeded"
    assert {stage["name"]: stage["state"] for stage in again["stages"]} == {
        stage["name"]: "reused" for stage in again["stages"]
    }
    assert _results(up) == before
    assert again["version"] == "1"


def test_backfill_makes_an_honest_decision_for_each_month(up: Project, june: dict[str, Any]) -> None:
    """`airflow backfill create` gives each month its own interval, in order, judged against the champion of then."""
    up.start("airflow", "--", "dags", "unpause", PIPELINE).communicate()
    _create_backfill(up)
    runs = _wait_for_backfill(Api(up), 2)
    assert [run["state"] for run in runs] == ["success", "success"]
    champion = "1"
    for run, month in zip(runs, ("2013-08-01", "2013-09-01"), strict=True):
        record = Runs(Store(f"file://{up.var}/store")).read(PIPELINE, run["dag_run_id"])
        assert record is not None
        assert str(record.run.interval) == month
        judged = record.entry("validate_model")
        assert judged is not None
        assert judged.summary["champion"] == champion
        refused = [gate.name for gate in judged.gates if not gate.passed]
        assert record.state == ("refused" if refused else "succeeded")
        if not refused:
            champion = str(judged.summary["version"])
    assert up.penstock("status", PIPELINE)["pipelines"][0]["champion"]["version"] == champion


def test_the_registry_says_what_serves(up: Project, june: dict[str, Any]) -> None:
    """A person who moves the alias `champion` in MLflow has that version served, without any command."""
    client = Registry(f"sqlite:///{up.var}/mlflow/mlflow.db").client
    last = client.get_model_version_by_alias(PIPELINE, CHAMPION).version
    other = "2" if str(last) == "1" else "1"
    client.set_registered_model_alias(PIPELINE, CHAMPION, other)
    until(lambda: up.penstock("status", PIPELINE)["pipelines"][0]["serving"] == other, 120)


def _create_backfill(up: Project) -> None:
    """Create it, and again where Airflow was refused half-way.

    It reads and writes in one transaction there, which SQLite refuses at once where the scheduler has written meanwhile.
    What it had made by then runs to its end, and the next one leaves that as it is.
    """
    while True:
        process = up.start(
            "airflow", "--", "backfill", "create", "--dag-id", PIPELINE, "--from-date", "2013-08-01",
            "--to-date", "2013-09-01", "--max-active-runs", "1",
        )  # fmt: skip
        out, err = process.communicate()
        if process.returncode == 0:
            return
        assert "database is locked" in err or "Another backfill is running" in err, out + err
        time.sleep(5)


def _wait_for_backfill(api: Api, number: int) -> list[dict[str, Any]]:
    while True:
        runs = [run for run in api.runs() if run["run_type"] == "backfill"]
        if len(runs) == number and all(run["state"] in ("success", "failed") for run in runs):
            return sorted(runs, key=lambda run: run["logical_date"])
        time.sleep(1)


def _results(project: Project) -> list[str]:
    return sorted(str(path) for path in (project.var / "store").glob(f"{PIPELINE}/[a-z]*/*/*"))
