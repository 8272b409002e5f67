"""MLflow as the jobs use it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.common import tracking
from penstock.errors import PenstockError
from penstock.settings import Settings, find_root
from tests.conftest import MakeMlflow


def settings_at(var: Path, uri: str) -> Settings:
    return Settings(root=find_root(), var=var, store=f"file://{var}/store", mlflow_uri=uri)


def test_two_first_jobs_at_once_agree_on_one_database(tmp_path: Path) -> None:
    """On a fresh machine two pipelines start at the same time: one makes MLflow's tables, both get their experiment."""
    code = (
        "import sys; from pathlib import Path; from penstock import settings; from jobs.common.tracking import connect;"
        "print(connect(settings.load(), sys.argv[1], Path(sys.argv[2]))[1])"
    )
    var = tmp_path / "var"
    environment = {**os.environ, **settings_at(var, f"sqlite:///{var}/mlflow/mlflow.db").environment()}
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", code, name, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("flights", "delays")
    ]
    experiments = {job.communicate()[0].strip() for job in jobs}
    assert [job.returncode for job in jobs] == [0, 0]
    assert len(experiments) == 2


def test_an_experiment_is_made_once_and_keeps_its_files_below_var(
    tmp_path: Path, make_mlflow: MakeMlflow
) -> None:
    """Asked again the experiment is the same; its artifacts lie in the installation."""
    here = settings_at(tmp_path / "var", make_mlflow(tmp_path / "var" / "mlflow.db"))
    client, experiment = tracking.connect(here, "flights", tmp_path)
    assert tracking.connect(here, "flights", tmp_path)[1] == experiment
    assert client.get_experiment(experiment).artifact_location == f"file://{here.mlflow_artifacts}/flights"


def test_what_mlflow_refuses_is_told_with_what_to_do(tmp_path: Path, make_mlflow: MakeMlflow) -> None:
    """MLflow's own exception becomes an error of ours that names the place; others pass as they are."""
    here = settings_at(tmp_path, make_mlflow(tmp_path / "mlflow.db"))
    client, _ = tracking.connect(here, "flights", tmp_path)
    with (
        pytest.raises(PenstockError, match=f"MLflow at {here.mlflow_uri} refused") as raised,
        tracking.told(here),
    ):
        client.get_run("0" * 32)
    assert raised.value.next_step
    with pytest.raises(ZeroDivisionError), tracking.told(here):
        raise ZeroDivisionError


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """MLflow lets pass what SQLAlchemy says of it: it becomes the same error, in one line, without the statement."""
    database = tmp_path / "mlflow.db"
    database.write_text("no database, this")
    here = settings_at(tmp_path, f"sqlite:///{database}")
    with pytest.raises(PenstockError) as raised, tracking.told(here):
        tracking.connect(here, "flights", tmp_path)
    assert raised.value.message.endswith("refused: (sqlite3.DatabaseError) file is not a database")


def test_a_database_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    """A job was killed while MLflow made its tables: nothing has the database's name yet, and the next job makes it."""
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    here = Settings(root=find_root(), var=tmp_path, store=f"file://{tmp_path}/store", mlflow_uri=uri)
    (tmp_path / "mlflow").mkdir()
    with sqlite3.connect(tmp_path / "mlflow" / ".mlflow.db.new") as half:
        half.execute("create table _alembic_tmp_latest_metrics (x integer)")
    client, experiment = tracking.connect(here, "flights", tmp_path)
    assert client.get_experiment(experiment).name == "flights"
    names = {path.name for path in (tmp_path / "mlflow").iterdir() if path.is_file()}
    assert names == {"mlflow.db", "mlflow.db.lock"}
