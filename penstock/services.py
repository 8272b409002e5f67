"""The services of one machine: Airflow's components, the MLflow UI and the function host, on loopback, and the reconciler.

Each is started by itself and remembered by pid and creation time, so that `down` stops exactly these.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from penstock import keys, processes, telemetry
from penstock.durable import write_atomic
from penstock.errors import PenstockError
from penstock.redaction import redact
from penstock.registry import Registry
from penstock.settings import Settings
from penstock.spec.function import Function
from penstock.targets.embedded import EmbeddedTarget, open_embedded

_BIND = "127.0.0.1"
_DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
#: SQLite has one writer at a time; the usual five seconds are too few for the others on a busy machine.
_SQLITE_SECONDS = 60
_AIRFLOW_URL = "PENSTOCK_AIRFLOW_URL"
_AIRFLOW_HEALTH = "/api/v2/monitor/health"
_WAIT_SECONDS = 120.0
#: Seconds until what was changed in the registry is seen.
_RECONCILED_EVERY = "10"
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Ports:
    """Where the services listen; the variables PENSTOCK_{AIRFLOW,MLFLOW}_PORT move them."""

    airflow: int
    mlflow: int

    @classmethod
    def load(cls) -> Ports:
        def port(name: str, default: int) -> int:
            return int(os.environ.get(f"PENSTOCK_{name}_PORT", default))

        return cls(airflow=port("AIRFLOW", 8080), mlflow=port("MLFLOW", 5000))


@dataclass(frozen=True)
class Up:
    """What a person needs after `up`: URLs, and Airflow's login."""

    airflow: str
    mlflow: str
    host: str
    user: str
    password: str


def airflow_environment(settings: Settings, ports: Ports | None = None) -> dict[str, str]:
    """The environment in which every Airflow command of this installation runs."""
    home = settings.airflow_home
    generated = _secrets(home)
    return {
        **os.environ,
        **telemetry.OFF,
        **settings.environment(),
        **_addresses(settings, ports or Ports.load()),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.root / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "penstock_airflow.executor.WarmLocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(max(2, min(8, os.cpu_count() or 2))),
        "AIRFLOW__CORE__FERNET_KEY": generated["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        **_airflow_database(home),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": generated["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": generated["jwt"],
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # A new or changed pipeline shows within seconds on a person's own machine.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # What a scheduler that died left running is taken up by the next one: after half a minute, and not after five.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        # A task's supervisor that misses the moment of its end holds its slot for as long (5 s by default).
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }


def _addresses(settings: Settings, ports: Ports) -> dict[str, str]:
    """Where the services find one another, and people find them: loopback, unless a variable's own value says else.

    In containers each service has an address of its own (docker-compose.yml).
    """
    url = f"http://{_BIND}:{ports.airflow}"
    usual = {
        "PENSTOCK_MLFLOW_UI": _mlflow_url(settings, ports),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": _BIND,
        "AIRFLOW__API__PORT": str(ports.airflow),
        "AIRFLOW__API__BASE_URL": url,
    }
    return {name: os.environ.get(name, value) for name, value in usual.items()}


def _mlflow_url(settings: Settings, ports: Ports) -> str:
    """Where MLflow answers: the server that the settings name, else the one that `up` starts on their database."""
    return settings.mlflow_uri if settings.mlflow_is_served else f"http://{_BIND}:{ports.mlflow}"


def _airflow_database(home: Path) -> dict[str, str]:
    """Where Airflow keeps its metadata: what its own variable says, else a file below `home`."""
    url = os.environ.get(_DATABASE) or f"sqlite:///{home / 'airflow.db'}?timeout={_SQLITE_SECONDS}"
    if not url.startswith("postgresql"):
        return {_DATABASE: url}
    # One driver for both of its engines; left alone, Airflow asks for asyncpg besides.
    url = f"postgresql+psycopg:{url.partition(':')[2]}"
    return {_DATABASE: url, f"{_DATABASE}_ASYNC": url}


def airflow(settings: Settings, *arguments: str, quiet: bool = False) -> int:
    """Run one Airflow command in this installation's environment; returns its exit code."""
    migrate(settings)
    command = [sys.executable, "-m", "airflow", *arguments]
    output = subprocess.DEVNULL if quiet else None
    environment = airflow_environment(settings)
    return subprocess.run(command, env=environment, cwd=settings.root, stdout=output, check=False).returncode


def migrate(settings: Settings) -> None:
    """Make or update Airflow's database, once for each Airflow version. Raises PenstockError with its output."""
    from importlib.metadata import version

    home = settings.airflow_home
    environment = airflow_environment(settings)
    done = home / "migrated"
    wanted = f"{version('apache-airflow-core')} {keys.digest(environment[_DATABASE])}"
    if done.is_file() and done.read_text() == wanted:
        return
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    ran = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        cwd=settings.root,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise PenstockError(
            f"airflow db migrate failed with exit code {ran.returncode}: "
            f"{redact(ran.stderr.strip()[-2000:], environment[_DATABASE])}",
            next_step=f"see that its database answers; if it is {home}/airflow.db and damaged, move that away and try again",
        )
    write_atomic(done, wanted.encode())


def up(settings: Settings, say: Callable[[str], None]) -> Up:
    """Start what is not running yet and wait until each answers. Raises PenstockError naming the one that does not."""
    ports = Ports.load()
    host = open_embedded(Function(), settings.host_state)
    host.prepare()
    host_url = host.url()
    assert host_url is not None
    say(f"function host at {host_url}")
    with ThreadPoolExecutor(1) as beside:  # each takes seconds the first time
        made = beside.submit(_make_mlflow, settings)
        migrate(settings)
    made.result()
    environment = airflow_environment(settings, ports)
    python = sys.executable
    commands = {
        "airflow-api-server": [python, "-m", "airflow", "api-server", "--host", _BIND, "--port", str(ports.airflow), "--workers", "1"],
        "airflow-scheduler": [python, "-m", "airflow", "scheduler", "--skip-serve-logs"],
        "airflow-dag-processor": [python, "-m", "airflow", "dag-processor"],
        "airflow-triggerer": [python, "-m", "airflow", "triggerer", "--skip-serve-logs"],
        "reconciler": [python, "-m", "penstock", "reconcile", "--every", _RECONCILED_EVERY],
    }  # fmt: skip
    if not settings.mlflow_is_served:
        commands["mlflow"] = [
            python, "-m", "mlflow", "server", "--host", _BIND, "--port", str(ports.mlflow), "--workers", "1",
            "--default-artifact-root", f"file://{settings.mlflow_artifacts}",
        ]  # fmt: skip
    quiet = {
        **environment,
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow_uri,  # may hold a password: no argument, which anybody sees
        # Its job runner would start seven more processes, for evaluations that nothing here asks for.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    for name, argv in commands.items():
        _free_or_ours(name, settings, {"airflow-api-server": ports.airflow, "mlflow": ports.mlflow}.get(name))
        processes.start(name, argv, quiet, _log(settings, name), _state(settings))
    airflow_at, mlflow_url = f"http://{_BIND}:{ports.airflow}", _mlflow_url(settings, ports)
    _wait(settings, "airflow-api-server", f"{airflow_at}{_AIRFLOW_HEALTH}", _airflow_healthy)
    say(f"Airflow at {airflow_at}")
    if "mlflow" in commands:
        _wait(settings, "mlflow", f"{mlflow_url}/health", lambda answer: answer.is_success)
    say(f"MLflow at {mlflow_url}")
    password = json.loads((settings.airflow_home / "passwords.json").read_text())["admin"]
    return Up(airflow=airflow_at, mlflow=mlflow_url, host=host_url, user="admin", password=password)


def _make_mlflow(settings: Settings) -> None:
    with Registry(settings.mlflow_uri).alone():
        pass  # it is there now, and whole


def down(settings: Settings) -> list[str]:
    """Stop the services that `up` (or a run) started; returns their names."""
    state = _state(settings)
    known = {path.stem: processes.find(path.stem, state) for path in state.glob("*.json")}
    found = {name: process for name, process in known.items() if process is not None}
    stopped = sorted(name for name, process in found.items() if processes.alive(process))
    # The scheduler first: its tasks end before what they talk to does. One that is dead may have left children.
    if scheduler := found.pop("airflow-scheduler", None):
        processes.stop(scheduler, _STOP_SECONDS)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda process: processes.stop(process, _STOP_SECONDS), found.values()))
    for name in known:
        processes.forget(name, state)
    host = EmbeddedTarget(settings.host_state)
    if settings.host_state.is_dir():
        if host.url() is not None:
            stopped.append("function-host")
        host.stop()
    return stopped


def airflow_url() -> str:
    """Where Airflow's API server answers: PENSTOCK_AIRFLOW_URL where `up` has not started it, else on loopback."""
    return os.environ.get(_AIRFLOW_URL) or f"http://{_BIND}:{Ports.load().airflow}"


def running(settings: Settings) -> bool:
    """Whether this installation's Airflow scheduler and API server live."""
    if os.environ.get(_AIRFLOW_URL):
        with httpx.Client(trust_env=False, timeout=5.0) as client:
            return _answers(client, f"{airflow_url()}{_AIRFLOW_HEALTH}", _airflow_healthy)
    state = _state(settings)
    found = [processes.find(name, state) for name in ("airflow-scheduler", "airflow-api-server")]
    return all(process is not None and processes.alive(process) for process in found)


def _secrets(home: Path) -> dict[str, str]:
    """Generated once, readable by their owner only: Airflow's keys and the admin's password."""
    path = home / "secrets.json"
    if not path.is_file():
        from base64 import urlsafe_b64encode

        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        generated = {
            "fernet": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt": secrets.token_urlsafe(48),
            "api": secrets.token_urlsafe(48),
        }
        write_atomic(home / "passwords.json", json.dumps({"admin": secrets.token_urlsafe(12)}).encode())
        write_atomic(path, json.dumps(generated).encode())
    return dict(json.loads(path.read_text()))


def _airflow_healthy(answer: httpx.Response) -> bool:
    parts = answer.json()
    return all(
        parts.get(part, {}).get("status") == "healthy"
        for part in ("metadatabase", "scheduler", "dag_processor", "triggerer")
    )


def _wait(settings: Settings, name: str, url: str, healthy: Callable[[httpx.Response], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        while time.monotonic() < deadline:
            process = processes.find(name, _state(settings))
            if process is None or not processes.alive(process):
                break
            if _answers(client, url, healthy):
                return
            time.sleep(0.2)
    log = _log(settings, name)
    last = log.read_text(errors="replace").strip().splitlines()[-5:] if log.is_file() else []
    raise PenstockError(
        f"{name} does not answer at {url}; its log ends: {' | '.join(last)}",
        next_step=f"see {log}; if another program has the port, set PENSTOCK_AIRFLOW_PORT or PENSTOCK_MLFLOW_PORT",
    )


def _answers(client: httpx.Client, url: str, healthy: Callable[[httpx.Response], bool]) -> bool:
    try:
        answer = client.get(url)
        return answer.is_success and healthy(answer)
    except httpx.HTTPError:
        return False


def _free_or_ours(name: str, settings: Settings, port: int | None) -> None:
    """Refuse a port that a stranger has: its answers would be taken for our service's."""
    process = processes.find(name, _state(settings))
    if port is None or (process is not None and processes.alive(process)):
        return
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_BIND, port))
        except OSError as error:
            variable = "PENSTOCK_MLFLOW_PORT" if name == "mlflow" else "PENSTOCK_AIRFLOW_PORT"
            raise PenstockError(
                f"{name} cannot listen on port {port}: {error.strerror}",
                next_step=f"stop the program that has it, or set {variable} to a free one",
            ) from error


def _state(settings: Settings) -> Path:
    return settings.var / "services"


def _log(settings: Settings, name: str) -> Path:
    return settings.var / "logs" / f"{name}.log"
