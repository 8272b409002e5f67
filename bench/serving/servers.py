"""The servers that are measured: how each is started, is asked whether it is ready, and takes records."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.serving.load import SERVER
from penstock import runtimes, telemetry

Records = Sequence[Mapping[str, Any]]
PEERS = Path(__file__).with_name("peers")
#: What a JVM may have.
MEMORY_BYTES = 2 << 30
_FUNCTION = Path(__file__).parents[2] / "images" / "function"


@dataclass(frozen=True)
class Server:
    """One server: `command` takes the port; `body` makes of records what it reads fastest."""

    name: str
    command: Callable[[int], Sequence[str | Path]]
    path: str
    ready: str
    body: Callable[[Records], Any]
    environment: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self, folder: Path) -> Iterator[Running]:
        """Started in `folder`, until it said that it is ready; stopped at the end."""
        port = _free_port()
        log = folder / "server.log"
        with log.open("wb") as output:
            began = time.perf_counter()
            process = subprocess.Popen(
                [*SERVER, *self.command(port)], env={**os.environ, **telemetry.OFF, **self.environment}, cwd=folder,
                stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            while not _answers(f"http://127.0.0.1:{port}{self.ready}"):
                if process.poll() is not None or time.perf_counter() - began > 120:
                    raise SystemExit(f"{self.name} did not start:\n{log.read_text()[-4000:]}")
                time.sleep(0.005)
            yield Running(f"http://127.0.0.1:{port}{self.path}", process.pid, time.perf_counter() - began)
        finally:
            # Some start processes of their own: the whole session goes.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


@dataclass(frozen=True)
class Running:
    """A server that is ready: where it takes records, its process, and the seconds from its start until then."""

    url: str
    pid: int
    seconds: float

    def memory(self) -> float:
        """MB that it and what it started have for themselves."""
        return float(sum(each.memory_full_info().uss for each in self._everyone())) / 1e6

    def processor(self) -> float:
        """Seconds of the processor that they have had so far."""
        times = [each.cpu_times() for each in self._everyone()]
        return float(sum(each.user + each.system for each in times))

    def _everyone(self) -> list[psutil.Process]:
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]


def servers(package: Path, logged: str, peers: Path, bundle: Path | None) -> list[Server]:
    """All of them, with the model of `package`; `logged` is its URI in MLflow, `peers` the environment of the others.

    `bundle` is the package of the same model for the runtime in Java, which is left out without.
    """
    here = {"PYTHONPATH": f"{PEERS}{os.pathsep}{_FUNCTION}"}
    model = {**here, "BENCH_MODEL": str(package / "model.onnx")}
    python, binaries = sys.executable, peers / "bin"

    def uvicorn(app: str) -> Callable[[int], list[str | Path]]:
        return lambda port: [
            python, "-m", "uvicorn", app, "--port", str(port), "--loop", "uvloop", "--http", "httptools",
            "--no-access-log", "--log-level", "warning", "--lifespan", "off",
        ]  # fmt: skip

    def granian(app: str) -> Callable[[int], list[str | Path]]:
        return lambda port: [
            binaries / "granian", "--interface", "asginl", "--loop", "uvloop", "--port", str(port), "--no-ws",
            "--log-level", "warning", app,
        ]  # fmt: skip

    java = [] if bundle is None else [our_java(bundle)]
    ours = {**here, "BENCH_PACKAGE": str(package)}
    return [
        Server("hello, uvicorn", uvicorn("hello:app"), "/", "/", one_or_many, here),
        Server("hello, granian", granian("hello:app"), "/", "/", one_or_many, here),
        Server("scoring, uvicorn", uvicorn("scoring:app"), "/", "/", list, model),
        Server("scoring, granian", granian("scoring:app"), "/", "/", list, model),
        Server(
            "Penstock",
            lambda port: [python, "-m", "penstock_function", "--package", package, "--port", str(port)],
            "/predict", "/health", one_or_many, ours,
        ),
        Server("Penstock, granian", granian("ours:app"), "/predict", "/health", one_or_many, ours),
        *java,
        Server(
            "mlflow models serve",
            lambda port: [
                python, "-m", "mlflow", "models", "serve", "-m", logged, "--env-manager", "local",
                "-h", "127.0.0.1", "--port", str(port),
            ],
            "/invocations", "/health", _dataframe,
            # It starts the uvicorn that it finds on the path.
            {"PATH": f"{Path(python).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "GIT_PYTHON_REFRESH": "quiet"},
        ),
        Server(
            "MLServer", lambda port: [binaries / "python", PEERS / "mlserver_start.py", str(port)],
            "/v2/models/bench/infer", "/v2/models/bench/ready", _tensors, model,
        ),
        Server(
            "BentoML",
            lambda port: [
                binaries / "bentoml", "serve", "bento:Bench", "--host", "127.0.0.1", "--port", str(port),
                "--working-dir", PEERS,
            ],
            "/predict", "/readyz", lambda records: {"records": list(records)},
            {**model, "BENTOML_DO_NOT_TRACK": "true"},
        ),
    ]  # fmt: skip


def our_java(bundle: Path) -> Server:
    """The runtime in Java with the package `bundle`."""
    return Server(
        "Penstock, Java",
        lambda port: runtimes.command("mleap", bundle, memory_bytes=MEMORY_BYTES, port=port),
        "/predict",
        "/health",
        one_or_many,
    )


def one_or_many(records: Records) -> Any:
    """A record by itself, or a list of them."""
    return records[0] if len(records) == 1 else list(records)


def _dataframe(records: Records) -> Any:
    return {
        "dataframe_split": {"columns": list(records[0]), "data": [list(each.values()) for each in records]}
    }


def _tensors(records: Records) -> Any:
    """The Open Inference Protocol's."""
    return {
        "inputs": [
            {
                "name": name,
                "datatype": "BYTES" if isinstance(first, str) else "FP64",
                "shape": [len(records)],
                "data": [record[name] for record in records],
                "parameters": {"content_type": "str" if isinstance(first, str) else "np"},
            }
            for name, first in records[0].items()
        ]
    }


def body_of(server: Server, records: Records) -> bytes:
    """What is posted."""
    return json.dumps(server.body(records)).encode()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
