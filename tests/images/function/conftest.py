"""Packages made by hand with the `onnx` helpers: small real graphs whose answers can be worked out on paper."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from onnx import TensorProto, helper

from penstock_function.app import build
from penstock_function.package import Package
from penstock_function.scorer import Scorer
from penstock_function.service import Service

OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 4)]

CARRIERS = {"AA": 1.0, "DL": -1.0, "Zürich ☃": 0.5}
INPUTS = [
    {"name": "carrier", "type": "string"},
    {"name": "distance", "type": "double"},
    {"name": "ratio", "type": "float"},
    {"name": "seats", "type": "long"},
    {"name": "month", "type": "int"},
    {"name": "holiday", "type": "boolean"},
]
RIGHT = {"carrier": "AA", "distance": 0.5, "ratio": 0.25, "seats": 2, "month": 3, "holiday": True}

MakePackage = Callable[..., Path]


def _value(name: str, kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, ["N"])


def _scalar(name: str, value: Any, kind: int) -> onnx.TensorProto:
    return helper.make_tensor(name, kind, [], [value])


def linear_graph(task: str) -> bytes:
    """score = lookup(carrier) + distance + ratio + seats + month + holiday, a null number counting 0.

    A binary model answers with the logistic of it; a carrier that is not in CARRIERS is refused.
    """
    numbers = [entry["name"] for entry in INPUTS if entry["type"] != "string"]
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["carrier"],
            ["effect"],
            domain="ai.onnx.ml",
            keys_strings=list(CARRIERS),
            values_floats=list(CARRIERS.values()),
            default_float=-100.0,
        ),
        helper.make_node("Less", ["effect", "floor"], ["unseen"]),
        helper.make_node("Where", ["unseen", "column", "empty"], ["invalid"]),
        helper.make_node("Cast", ["effect"], ["effect64"], to=TensorProto.DOUBLE),
    ]
    for name in numbers:
        nodes.append(helper.make_node("IsNaN", [name], [f"{name}_null"]))
        nodes.append(helper.make_node("Where", [f"{name}_null", "zero", name], [f"{name}_value"]))
    nodes.append(helper.make_node("Sum", ["effect64", *[f"{name}_value" for name in numbers]], ["sum"]))
    nodes.append(helper.make_node("Where", ["unseen", "nan", "sum"], ["score"]))
    outputs = ["prediction"]
    if task == "regression":
        nodes.append(helper.make_node("Identity", ["score"], ["prediction"]))
    else:
        outputs += ["probability_0", "probability_1"]
        # ONNX Runtime has no double Sigmoid on the CPU, so it is spelt out.
        nodes += [
            helper.make_node("Neg", ["score"], ["negative"]),
            helper.make_node("Exp", ["negative"], ["exp"]),
            helper.make_node("Add", ["one", "exp"], ["denominator"]),
            helper.make_node("Div", ["one", "denominator"], ["probability_1"]),
            helper.make_node("Sub", ["one", "probability_1"], ["probability_0"]),
            helper.make_node("Greater", ["score", "zero"], ["positive"]),
            helper.make_node("Where", ["positive", "one", "zero"], ["label"]),
            helper.make_node("Where", ["unseen", "nan", "label"], ["prediction"]),
        ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [
            _value(entry["name"], TensorProto.STRING if entry["type"] == "string" else TensorProto.DOUBLE)
            for entry in INPUTS
        ],
        [_value(name, TensorProto.DOUBLE) for name in outputs] + [_value("invalid", TensorProto.STRING)],
        [
            _scalar("floor", -50.0, TensorProto.FLOAT),
            _scalar("column", b"carrier", TensorProto.STRING),
            _scalar("empty", b"", TensorProto.STRING),
            _scalar("zero", 0.0, TensorProto.DOUBLE),
            _scalar("one", 1.0, TensorProto.DOUBLE),
            _scalar("nan", float("nan"), TensorProto.DOUBLE),
        ],
    )
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_package(
    folder: Path,
    manifest: dict[str, Any],
    model: bytes,
    samples: dict[str, Any],
    steps: Mapping[str, str] | None = None,
) -> Path:
    """Write the files of a package into `folder`, with the digests of what is written; `steps` are sources by name."""
    content = {"model.onnx": model, "samples.json": json.dumps(samples).encode()}
    content |= {f"steps/{name}/step.py": source.encode() for name, source in (steps or {}).items()}
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    files = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    (folder / "function.json").write_text(json.dumps({**manifest, "files": files}))
    return folder


@pytest.fixture
def make_package(tmp_path: Path) -> MakePackage:
    """Writes a package of the linear model; keyword arguments replace entries of its function.json.

    `before` and `after` are the sources of steps by name.
    """

    def make(
        samples: dict[str, Any] | None = None,
        model: bytes | None = None,
        before: Mapping[str, str] | None = None,
        after: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> Path:
        before, after = before or {}, after or {}
        task = changes.get("task", "binary")
        manifest = {
            "format": 1,
            "name": "delays",
            "version": "7",
            "key": "0123abc",
            "task": task,
            "runtime": "onnx",
            "inputs": INPUTS,
            "classes": None if task == "regression" else [0, 1],
            "output": "prediction" if task == "regression" else "probability",
            "tolerance": 1e-6,
            "environment": {"pyspark": "4.1.4"},
            "steps": [*before, "score", *after],
            **changes,
        }
        folder = tmp_path / f"package-{len(list(tmp_path.iterdir()))}"
        return write_package(
            folder,
            manifest,
            linear_graph(task) if model is None else model,
            default_samples(manifest) if samples is None else samples,
            {**before, **after},
        )

    return make


def default_samples(manifest: dict[str, Any]) -> dict[str, Any]:
    """Three records with their answers worked out here: a usual one, nulls in every number, and an unseen carrier."""
    nulls = {**dict.fromkeys(RIGHT), "carrier": "DL"}
    records = [RIGHT, nulls, {**RIGHT, "carrier": "nobody"}]
    scores = [1.0 + 0.5 + 0.25 + 2 + 3 + 1, -1.0]
    answers: list[dict[str, Any]] = []
    for score in scores:
        if manifest["task"] == "regression":
            answers.append({"prediction": score})
            continue
        classes = manifest["classes"]
        answer: dict[str, Any] = {"prediction": classes[score > 0]}
        if manifest["output"] == "probability":
            late = 1 / (1 + 2.718281828459045**-score)
            answer["probability"] = {str(classes[0]): 1 - late, str(classes[1]): late}
        answers.append(answer)
    return {"records": records, "answers": [*answers, {"invalid": "carrier"}]}


@pytest.fixture
def right() -> dict[str, Any]:
    """A record that the linear model takes, with its answer in the default samples."""
    return dict(RIGHT)


@pytest.fixture
def graph() -> Callable[[str], bytes]:
    """The linear model of a task, as ONNX bytes."""
    return linear_graph


@pytest.fixture
def scorer(make_package: MakePackage) -> Scorer:
    """The binary linear model, loaded."""
    return Scorer(Package.load(make_package()))


class Client:
    """Calls an app in this process; an exception that leaves the app fails the test."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._transport = httpx.ASGITransport(build(service))

    def request(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request, on an event loop of its own."""

        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://function") as client:
                return await client.request(method, path, **request)

        return asyncio.run(send())

    def get(self, path: str) -> httpx.Response:
        """GET `path`."""
        return self.request("GET", path)

    def post(self, path: str, **request: Any) -> httpx.Response:
        """POST to `path`."""
        return self.request("POST", path, **request)


@pytest.fixture
def client(make_package: MakePackage) -> Client:
    """The whole app over a proven binary model."""
    service = Service()
    service.serve(Package.load(make_package()))
    return Client(service)


@pytest.fixture
def empty_client() -> Client:
    """The whole app without a package."""
    return Client(Service())


@pytest.fixture
def zipped() -> Callable[[Path], bytes]:
    """The folder of a package as a zip."""

    def pack(folder: Path) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                archive.write(path, path.relative_to(folder))
        return buffer.getvalue()

    return pack


class Process:
    """A real runtime process: its command line, its port once it listens, its output."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "penstock_function", *arguments, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        self.first: dict[str, Any] = json.loads(line) if line else {}
        self.port = int(self.first.get("port", 0))
        self.url = f"http://127.0.0.1:{self.port}"

    def end(self) -> tuple[int, str, str]:
        """SIGTERM; the exit code and the rest of stdout and stderr."""
        self.popen.send_signal(signal.SIGTERM)
        out, err = self.popen.communicate(timeout=60)
        return self.popen.returncode, out, err


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Starts runtime processes and leaves none behind."""
    started: list[Process] = []

    def run(*arguments: str) -> Process:
        started.append(Process(*arguments))
        return started[-1]

    yield run
    for process in started:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate(timeout=60)
