"""Our function runtime beside `mlflow models serve`: the same model.onnx, machine, client and run.

`python -m bench.runtime [--package DIR] [--quick]` prints the requests a second and the latencies of one record
and of 100, and the time from starting the process to its first healthy answer, for both, and their ratios.
Without --package it builds 20 trees of depth 5 over 8 numbers and 2 categories (`bench.boosted`).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import boosted
from penstock import telemetry

# Set before mlflow is imported anywhere, here or in a child.
os.environ |= {**telemetry.OFF, "GIT_PYTHON_REFRESH": "quiet"}

# mlflow starts the `uvicorn` that it finds on the path.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

CLIENTS = (1, 16)
ROWS = (1, 100)
RATE_GOAL = "at least 10x"
START_GOAL = "under 1 s, at least 10x"


@dataclass(frozen=True)
class Server:
    """How to start one of the two, and how it wants its records."""

    name: str
    command: list[str]
    path: str
    requests: int
    starts: int

    def body(self, records: list[dict[str, Any]]) -> bytes:
        """The request body of `records` in the shape that each reads fastest."""
        if self.path == "/predict":
            return json.dumps(records[0] if len(records) == 1 else records).encode()
        split = {"columns": list(records[0]), "data": [list(record.values()) for record in records]}
        return json.dumps({"dataframe_split": split}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.runtime", description=__doc__)
    parser.add_argument("--package", type=Path, help="a function package (default: one made here)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests, one start of each")
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    starts = 1 if options.quick else 3
    with tempfile.TemporaryDirectory(prefix="bench-runtime-") as temporary:
        folder = Path(temporary)
        package = options.package or boosted.write(folder / "package")
        records = _records(package)
        ours = [sys.executable, "-m", "penstock_function", "--package", str(package)]
        theirs = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(_logged(package, folder))]
        servers = [
            Server("penstock", ours, "/predict", 20_000 // scale, starts),
            Server(
                "mlflow",
                [*theirs, "--env-manager", "local", "-h", "127.0.0.1"],
                "/invocations",
                3_000 // scale,
                starts,
            ),
        ]
        _print([(server, _measure(server, records, folder)) for server in servers])


def _records(package: Path) -> list[dict[str, Any]]:
    """100 records that the model answers, from its samples."""
    samples = json.loads((package / "samples.json").read_text())
    good = [
        record
        for record, answer in zip(samples["records"], samples["answers"], strict=True)
        # mlflow's frames know no null for whole numbers and strings: rows without nulls compare like with like.
        if "invalid" not in answer and None not in record.values()
    ]
    if not good:
        raise SystemExit(f"{package} has no sample without nulls to send")
    return (good * (max(ROWS) // len(good) + 1))[: max(ROWS)]


def _logged(package: Path, folder: Path) -> str:
    """The package's model.onnx, logged to an mlflow store of its own as its ONNX flavour; the model's URI."""
    import mlflow
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    experiment = mlflow.create_experiment("bench", artifact_location=(folder / "artifacts").as_uri())
    inputs = json.loads((package / "function.json").read_text())["inputs"]
    # Every column but a string reaches the graph as a double.
    kinds = {entry["name"]: "string" if entry["type"] == "string" else "double" for entry in inputs}
    schema = Schema([ColSpec(kind, name) for name, kind in kinds.items()])
    with mlflow.start_run(experiment_id=experiment):
        model = mlflow.onnx.log_model(
            onnx.load(package / "model.onnx"),
            name="model",
            signature=ModelSignature(inputs=schema),
            pip_requirements=[],
        )
    return str(model.model_uri)


def _measure(server: Server, records: list[dict[str, Any]], folder: Path) -> dict[str, float]:
    """Every number of one server, in seconds or requests a second."""
    started = []
    for _ in range(server.starts - 1):
        with _running(server, folder) as (_, _, seconds):
            started.append(seconds)
    figures: dict[str, float] = {}
    with _running(server, folder) as (port, pid, seconds):
        started.append(seconds)
        url = f"http://127.0.0.1:{port}{server.path}"
        for rows in ROWS:
            body = folder / "body.json"
            body.write_bytes(server.body(records[:rows]))
            count = server.requests // (4 if rows > 1 else 1)
            _load(url, body, max(count // 10, 20), 1)  # warm
            for clients in CLIENTS:
                what = f"{rows} {'record' if rows == 1 else 'records'}, {clients} clients"
                before = _cpu_seconds(pid)
                for name, value in _load(url, body, count, clients).items():
                    figures[f"{what}, {name}"] = value
                figures[f"{what}, CPU"] = (_cpu_seconds(pid) - before) / count
    figures["start to ready"] = sorted(started)[len(started) // 2]
    return figures


@contextmanager
def _running(server: Server, folder: Path) -> Iterator[tuple[int, int, float]]:
    """The server's port and process, and the seconds from its start until it said that it is healthy."""
    port = _free_port()
    with (folder / f"{server.name}.log").open("wb") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*server.command, "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while not _healthy(port):
                if process.poll() is not None or time.perf_counter() - start > 120:
                    raise SystemExit(
                        f"{server.name} did not start:\n{(folder / f'{server.name}.log').read_text()}"
                    )
                time.sleep(0.005)
            yield port, process.pid, time.perf_counter() - start
        finally:
            # mlflow's server is a child of the command: the whole session goes.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
    while _healthy(port):
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _cpu_seconds(pid: int) -> float:
    """What the process and its children have used; unlike the rates, it says much on a busy machine too."""
    process = psutil.Process(pid)
    used = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    return float(sum(times.user + times.system for times in used))


def _load(url: str, body: Path, requests: int, clients: int) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "bench.load",
        url,
        str(body),
        "--requests",
        str(requests),
        "--clients",
        str(clients),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise SystemExit(f"{url} answered with an error:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _print(results: list[tuple[Server, dict[str, float]]]) -> None:
    (ours, our_figures), (theirs, their_figures) = results
    print(f"{'':<34}{ours.name:>12}{theirs.name:>12}{'ratio':>9}   goal")
    for name, value in our_figures.items():
        other = their_figures[name]
        if name.endswith("rate"):
            print(f"{name:<34}{value:>10.0f}/s{other:>10.0f}/s{value / other:>8.1f}x   {RATE_GOAL}")
        elif name == "start to ready":
            print(f"{name:<34}{value:>11.2f}s{other:>11.2f}s{other / value:>8.1f}x   {START_GOAL}")
        else:
            print(f"{name:<34}{value * 1e3:>10.2f}ms{other * 1e3:>10.2f}ms{other / value:>8.1f}x")


if __name__ == "__main__":
    main()
