"""What a container starts with. The containers themselves run in tests/compose."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest

from penstock import container, healthy
from penstock.settings import Settings


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """Settings whose state is new."""
    (tmp_path / "var").mkdir()
    return Settings(root=tmp_path, var=tmp_path / "var", store="", mlflow_uri="")


def test_secrets_are_made_once(here: Settings, tmp_path: Path) -> None:
    """Each differs, later starts change none, and none can be written again; one that was lost is made anew."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    container.generate(here, folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(set(first.values())) == len(first) == 8
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in folder.iterdir())
    for name in ("AWS_ACCESS_KEY_ID", "PENSTOCK_PUBLIC_KEYS"):  # the second of a pair: its first one tells it
        (folder / name).unlink()
    container.generate(here, folder)
    again = {path.name: path.read_text() for path in folder.iterdir()}
    assert {name for name in first if first[name] != again[name]} == {"AWS_ACCESS_KEY_ID"}


def test_the_databases_have_the_servers_password(here: Settings, tmp_path: Path) -> None:
    """And who deploys has the token that the function host's state holds."""
    container.generate(here, tmp_path)
    password = (tmp_path / "POSTGRES_PASSWORD").read_text()
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "MLFLOW_BACKEND_STORE_URI"):
        assert f":{password}@postgres/" in (tmp_path / name).read_text()
    assert (tmp_path / "PENSTOCK_HOST_TOKEN").read_text() == (here.host_state / "token").read_text()


def test_it_becomes_the_module_with_the_secrets_that_are_named(
    here: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other secret is in the process's environment, nor any in its arguments."""
    container.generate(here, tmp_path)
    became = []
    monkeypatch.setattr("os.execve", lambda *call: became.append(call))
    monkeypatch.setattr(container, "SECRETS", tmp_path)
    monkeypatch.setenv("PENSTOCK_SECRETS", "PENSTOCK_HOST_TOKEN")
    monkeypatch.setenv("PENSTOCK_HOST_TOKEN", "")
    container.main(["some.module", "--option"])
    ((_, arguments, environment),) = became
    assert arguments[1:] == ["-m", "some.module", "--option"]
    assert environment["PENSTOCK_HOST_TOKEN"] == (tmp_path / "PENSTOCK_HOST_TOKEN").read_text()
    assert "MLFLOW_BACKEND_STORE_URI" not in environment


@pytest.fixture
def airflow() -> Iterator[str]:
    """A server that answers /health as Airflow does, with a scheduler that is away, and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()
            report = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}}
            self.wfile.write(json.dumps(report).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_health_is_of_the_part_that_was_asked(airflow: str) -> None:
    """A component is healthy where Airflow says so; a service where it answers well."""
    assert healthy.main(f"{airflow}/health") == 0
    assert healthy.main(f"{airflow}/health", "metadatabase") == 0
    assert healthy.main(f"{airflow}/health", "scheduler") == 1
    with pytest.raises(HTTPError):
        healthy.main(f"{airflow}/nothing")
