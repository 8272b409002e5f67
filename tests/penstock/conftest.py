"""What the tests of the core share: a small real function package, and a project with versions of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from penstock.settings import Settings, load
from penstock.store import Store
from penstock.targets.embedded import EmbeddedTarget
from tests.conftest import MakeMlflow
from tests.penstock.shop import SPEC, Shop, write

CHECKOUT = Path(__file__).parents[2]

MakeFunction = Callable[..., Path]


def _model(offset: float) -> bytes:
    """prediction = x + offset, so that an answer tells which version gave it."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "offset"], ["prediction"])],
        "shift",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N"])],
        [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["N"])],
        [helper.make_tensor("offset", TensorProto.DOUBLE, [], [offset])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def make_function(tmp_path_factory: pytest.TempPathFactory) -> MakeFunction:
    """Builds the package of version N of a function that answers x + N; `sample` is what its sample claims for 1.

    `offset`: what it adds instead of N; `log`: what it logs of its predictions; `steps`: the files of its steps, which come in
    this `order`, or after it.
    """

    def make(
        version: int,
        name: str = "shift",
        *,
        sample: float | None = None,
        offset: int | None = None,
        log: dict[str, Any] | None = None,
        steps: Mapping[str, str] | None = None,
        order: Sequence[str] | None = None,
    ) -> Path:
        folder = tmp_path_factory.mktemp(f"{name}-{version}-")
        added = version if offset is None else offset
        answer = 1.0 + added if sample is None else sample
        files = {
            "model.onnx": _model(float(added)),
            "samples.json": json.dumps(
                {"records": [{"x": 1.0}], "answers": [{"prediction": answer}]}
            ).encode(),
            **{path: text.encode() for path, text in (steps or {}).items()},
        }
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        manifest = {
            "format": 1,
            "name": name,
            "version": str(version),
            "key": f"key-{version}",
            "task": "regression",
            "runtime": "onnx",
            "inputs": [{"name": "x", "type": "double"}],
            "classes": None,
            "output": "prediction",
            "tolerance": 1e-9,
            "files": {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
            "environment": {},
            "log": log,
            "steps": order or ["score", *dict.fromkeys(path.split("/")[1] for path in steps or ())],
        }
        (folder / "function.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An empty project: no pipelines, this checkout's jobs, all state in the test's folder."""
    root = tmp_path / "project"
    (root / "dags").mkdir(parents=True)
    (root / "expectations").mkdir()
    for shared in ("jobs", "images"):
        (root / shared).symlink_to(CHECKOUT / shared)
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PENSTOCK_ROOT", str(root))
    monkeypatch.setenv("PENSTOCK_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("PENSTOCK_HOST_PORT", "0")
    settings = load()
    yield settings
    EmbeddedTarget(settings.host_state).stop()


@pytest.fixture
def shift(project: Settings) -> Settings:
    """The project with a declared pipeline, `shift`, that never ran."""
    write(project.dags / "shift" / "pipeline.py", SPEC)
    return project


@pytest.fixture
def shop(shift: Settings, make_mlflow: MakeMlflow, make_function: Callable[..., Path]) -> Shop:
    """The project with a registry, to which versions can be added."""
    make_mlflow(shift.var / "mlflow" / "mlflow.db")
    Store(shift.store).open_format()
    return Shop(shift, make_function)
