"""What the services that `penstock up` starts are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from penstock.services import airflow_environment
from penstock.settings import Settings, find_root


def test_a_busy_database_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's own file has one writer at a time: a connection by the URL that Airflow gets waits a minute for it."""
    monkeypatch.delenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", raising=False)
    settings = Settings(find_root(), tmp_path, f"file://{tmp_path}/store", "sqlite://")
    settings.airflow_home.mkdir(parents=True)
    url = airflow_environment(settings)["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    with create_engine(url).connect() as connection:
        assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() == 60_000
    assert (settings.airflow_home / "airflow.db").exists()
