"""Real servers that tests run on: an S3 server, and MLflow's."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import httpx
import pytest

ROOT = Path(__file__).parents[1]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for it; fails where it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@dataclass
class S3:
    """An S3 server with the bucket `penstock`; its state outlives its process."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    login: dict[str, str] = field(
        default_factory=lambda: {
            "AWS_ACCESS_KEY_ID": "penstock",
            "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(24),
        }
    )
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What every client of S3 reads."""
        return {
            **self.login,
            "AWS_ENDPOINT_URL": f"http://{self.host}:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @contextmanager
    def running(self) -> Iterator[S3]:
        """The server, and this process's environment set to it."""
        self.port = self.port or free_port(self.host)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            self.start()
            try:
                until(self._answers)
                yield self
            finally:
                self.stop()

    def start(self) -> None:
        program = Path(shutil.which("versitygw") or ROOT / "var" / "cache" / "bin" / "versitygw")
        if not program.is_file():
            pytest.fail("no S3 server: scripts/s3-server builds one")
        keys = {
            "ROOT_ACCESS_KEY": self.login["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": self.login["AWS_SECRET_ACCESS_KEY"],
        }
        command = [program, "--quiet", "--port", f"{self.host}:{self.port}", "posix", self.folder]
        self.process = subprocess.Popen(command, env={**os.environ, **keys}, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the S3 server ended"
        try:
            fsspec.filesystem("s3").makedirs("penstock", exist_ok=True)
        except OSError:
            return False
        return True


def airflow_api(url: str, password: str) -> httpx.Client:
    """Airflow's REST API as the generated admin."""
    login = {"username": "admin", "password": password}
    answer = httpx.post(f"{url}/auth/token", json=login, timeout=60, trust_env=False)
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.Client(base_url=url, headers=bearer, timeout=60, trust_env=False)


@contextmanager
def mlflow_server(folder: Path, database: str, host: str = "127.0.0.1") -> Iterator[str]:
    """MLflow's server as a team runs it, on a database, its artifacts behind itself; its URL."""
    port = free_port(host)
    url = f"http://{host}:{port}"
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1",
        "--allowed-hosts", f"{host}:{port}", "--serve-artifacts", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        try:
            until(lambda: _healthy(f"{url}/health"), 120)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False
