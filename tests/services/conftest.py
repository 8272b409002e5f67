"""Real services, as users have them beside Penstock: an S3 server, and PostgreSQL with a database for each who asks."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import psycopg
import pytest

from tests.e2e.conftest import ROOT, free_port, make_project

__all__ = ["make_project"]


@dataclass
class S3:
    """An S3 server on loopback with a bucket; its state outlives its process."""

    program: Path
    folder: Path
    port: int
    login: dict[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def environment(self) -> dict[str, str]:
        """What every client of S3 reads."""
        return {
            **self.login,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        keys = {
            "ROOT_ACCESS_KEY": self.login["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": self.login["AWS_SECRET_ACCESS_KEY"],
        }
        command = [self.program, "--quiet", "--port", f"127.0.0.1:{self.port}", "posix", self.folder]
        self.process = subprocess.Popen(command, env={**os.environ, **keys}, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """The server, and this process's environment set to it."""
    program = Path(shutil.which("versitygw") or ROOT / "var" / "cache" / "bin" / "versitygw")
    if not program.is_file():
        pytest.fail("no S3 server: scripts/s3-server builds one")
    login = {"AWS_ACCESS_KEY_ID": "penstock", "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(24)}
    server = S3(program, tmp_path_factory.mktemp("s3"), free_port(), login)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.start()
        until(lambda: _answers(server))
        yield server
        server.stop()


def _answers(server: S3) -> bool:
    assert server.process is not None
    assert server.process.poll() is None, "the S3 server ended"
    try:
        fsspec.filesystem("s3").makedirs("penstock", exist_ok=True)
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def database() -> Iterator[Callable[[str], str]]:
    """Makes a database by name on a PostgreSQL server of the session's own; gives its URL."""
    programs = _postgres()
    folder = Path(tempfile.mkdtemp(prefix="penstock-postgres-"))
    password, port = secrets.token_urlsafe(24), free_port()
    (folder / "password").write_text(password)
    unprivileged = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        unprivileged = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    data = folder / "data"
    subprocess.run(
        [
            *unprivileged, programs / "initdb", "--pgdata", data, "--username", "penstock", "--encoding", "UTF8",
            "--pwfile", folder / "password", "--auth", "scram-sha-256",
        ],
        check=True, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    server = subprocess.Popen(
        [
            *unprivileged, programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder,
            "-c", "fsync=off",
        ],
        cwd=folder, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    admin = f"postgresql://penstock:{password}@127.0.0.1:{port}"

    def make(name: str) -> str:
        with psycopg.connect(f"{admin}/postgres", autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        return f"{admin}/{name}"

    def ready() -> bool:
        try:
            psycopg.connect(f"{admin}/postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    until(ready)
    yield make
    server.send_signal(signal.SIGINT)  # ends its clients' connections too
    server.wait()
    shutil.rmtree(folder)


def _postgres() -> Path:
    """The folder of PostgreSQL's programs; Debian keeps them off the path."""
    found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.fail("no PostgreSQL: install its server's programs (Debian: postgresql)")
    return found[0]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
