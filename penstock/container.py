"""What each container of docker-compose.yml starts with: `python -m penstock.container MODULE ARGUMENT...`.

It becomes `python -m MODULE ARGUMENT...`, in this installation's environment and with those of the generated secrets
that PENSTOCK_SECRETS names. `secrets` and `prepare` are no modules but the two steps that come before all others.

A secret is a file below /secrets, named as the variable that it becomes: in no image, argument or setting of a container.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_urlsafe

import fsspec
import psycopg
from psycopg.errors import DuplicateDatabase

from penstock import services, settings, signatures, telemetry
from penstock.durable import write_atomic
from penstock.host.state import StateFolder
from penstock.settings import Settings

SECRETS = Path("/secrets")


def main(arguments: list[str]) -> None:
    """Do one of the two steps, or become the module's process."""
    here = settings.load()
    if arguments == ["secrets"]:
        generate(here, SECRETS)
        return
    for name in os.environ.get("PENSTOCK_SECRETS", "").split():
        os.environ[name] = (SECRETS / name).read_text()
    if arguments == ["prepare"]:
        prepare(here)
        return
    telemetry.switch_off()
    environment = services.airflow_environment(here) if arguments[0] == "airflow" else os.environ
    os.execve(sys.executable, [sys.executable, "-m", *arguments], environment)  # noqa: S606 (no shell is the point)


def generate(here: Settings, folder: Path) -> None:
    """Make the secrets that are not there yet; the function host's, which is in its own state, is copied."""

    def once(name: str, make: Callable[[], str]) -> str:
        path = folder / name
        if not path.is_file():
            # Read by whoever runs in a container that the volume is mounted in, and changed by nobody.
            write_atomic(path, make().encode(), mode=0o444)
        return path.read_text()

    password = once("POSTGRES_PASSWORD", token_urlsafe)
    server = f"postgresql://penstock:{password}@postgres"
    once("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", lambda: f"{server}/airflow")
    once("MLFLOW_BACKEND_STORE_URI", lambda: f"{server}/mlflow")
    once("AWS_ACCESS_KEY_ID", lambda: token_urlsafe(15))
    once("AWS_SECRET_ACCESS_KEY", token_urlsafe)
    signing_key = once(signatures.SIGNING_KEY, lambda: signatures.generate()[0])
    once(signatures.PUBLIC_KEYS, lambda: signatures.public_of(signing_key))
    here.host_state.mkdir(exist_ok=True, mode=0o700)
    once("PENSTOCK_HOST_TOKEN", StateFolder(here.host_state).token)


def prepare(here: Settings) -> None:
    """Make what the services find there: the bucket, MLflow's database, Airflow's tables of this version."""
    files, path = fsspec.core.url_to_fs(here.store)
    files.makedirs(path.partition("/")[0], exist_ok=True)
    with (
        psycopg.connect(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], autocommit=True) as connection,
        suppress(DuplicateDatabase),
    ):
        connection.execute("create database mlflow")
    services.migrate(here)


if __name__ == "__main__":
    main(sys.argv[1:])
