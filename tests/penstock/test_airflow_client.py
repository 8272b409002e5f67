"""A run by Airflow that does not end well: what a person is told. One that does: tests/e2e/test_airflow.py."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock import airflow_client, loader, services
from penstock.airflow_client import AirflowError
from penstock.chain import Chain
from penstock.record import Entry, Run
from penstock.settings import Settings, load

CHECKOUT = Path(__file__).parents[2]
SPEC = '''"""What is x?"""
from penstock import Pipeline, files
from penstock_airflow import to_dag

pipeline = Pipeline(
    name="NAME", problem=__doc__, owner="me", task="regression", label="y", time="at", id="row", metric="rmse",
    sources=[files("rows", "data/{{ interval }}.csv", time="at")],
    schedule="@monthly", start="2024-01-01", end="2024-03-01", retries=0,
)
dag = to_dag(pipeline)
'''


class Told:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def planned(self, run: Run) -> None:
        self.events.append(f"planned {run.interval}")

    def began(self, name: str) -> None:
        self.events.append(f"began {name}")

    def said(self, name: str, line: str) -> None:
        raise AssertionError("what tasks print stays in Airflow")

    def ended(self, entry: Entry) -> None:
        self.events.append(f"{entry.state} {entry.name}")


PARAMS = {"date": "2024-02-01", "since": None, "force": None, "trials": None, "note": "a try"}


def test_without_airflow_it_says_how_to_start_it(tmp_path: Path) -> None:
    """Nothing runs here: an error that names `penstock up`, before any request."""
    settings = Settings(tmp_path, tmp_path / "var", f"file://{tmp_path}/store", "sqlite:///none")
    with pytest.raises(AirflowError, match="not running") as error:
        airflow_client.Airflow.of(settings)
    assert "penstock up" in str(error.value.next_step)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A project of two pipelines without data, one of them broken, and its own services on free ports."""
    root = tmp_path_factory.mktemp("airflow") / "project"
    root.mkdir()
    for shared in ("jobs", "images", "plugins", "penstock"):
        (root / shared).symlink_to(CHECKOUT / shared)
    for name, text in (("empty", SPEC), ("broken", f"{SPEC}\nimport nothing_of_that_name\n")):
        (root / "dags" / name).mkdir(parents=True)
        (root / "dags" / name / "pipeline.py").write_text(text.replace("NAME", name))
    shutil.copy(CHECKOUT / "dags" / ".airflowignore", root / "dags")
    (root / "expectations").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith(("PENSTOCK", "AIRFLOW"))]:
            patch.delenv(variable)
        patch.setenv("PENSTOCK_ROOT", str(root))
        for service in ("AIRFLOW", "MLFLOW", "HOST"):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                patch.setenv(f"PENSTOCK_{service}_PORT", str(probe.getsockname()[1]))
        settings = load()
        services.up(settings, lambda line: None)
        yield settings
        services.down(settings)


@pytest.mark.airflow
def test_a_run_without_data_is_followed_to_its_skip(up: Settings) -> None:
    """A new, paused DAG is unpaused, triggered with the form's params, and told like a run in this terminal."""
    told = Told()
    chain = Chain(up, loader.load("empty", up.dags))
    record = airflow_client.run(chain, PARAMS, told)
    assert record.state == "skipped"
    assert record.run.note == "a try"
    assert told.events[0] == "planned 2024-02-01"
    assert "skipped collect@2024-02-01" in told.events
    assert airflow_client.Airflow.of(up).wait_for_dag("empty") is False


@pytest.mark.airflow
def test_a_dag_that_does_not_import_is_named_with_its_error(
    up: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DAG that Airflow does not have ends the wait with what Airflow said of its file."""
    monkeypatch.setattr(airflow_client, "_PARSE_SECONDS", 20.0)
    with pytest.raises(AirflowError, match=r"knows no DAG 'broken': .*nothing_of_that_name"):
        airflow_client.Airflow.of(up).wait_for_dag("broken")
