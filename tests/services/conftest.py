"""Real services, as users have them beside Penstock: an S3 server, and PostgreSQL with a database for each who asks."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.e2e.conftest import make_project
from tests.servers import S3, free_port, until

__all__ = ["make_project"]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """The server, and this process's environment set to it."""
    with S3(tmp_path_factory.mktemp("s3")).running() as server:
        yield server


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
