"""What the tests of the core share: a small real function package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

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
    """Builds the package of version N of a function that answers x + N; `sample` is what its sample claims for 1."""

    def make(version: int, name: str = "shift", *, sample: float | None = None) -> Path:
        folder = tmp_path_factory.mktemp(f"{name}-{version}-")
        answer = 1.0 + version if sample is None else sample
        files = {
            "model.onnx": _model(float(version)),
            "samples.json": json.dumps(
                {"records": [{"x": 1.0}], "answers": [{"prediction": answer}]}
            ).encode(),
        }
        for path, content in files.items():
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
        }
        (folder / "function.json").write_text(json.dumps(manifest))
        return folder

    return make
