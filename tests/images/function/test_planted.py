"""A package is data: whatever is planted in it, none of it is executed, and no file but its own is read.

But for its steps, which are code, have names of their own, and are read as nothing else (test_steps.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from onnx import TensorProto, helper

from penstock_function.package import Package, PackageError
from penstock_function.scorer import Scorer
from tests.images.function.conftest import OPSETS

# The runtime, but whoever unpickles anything that could run code ends it.
_WATCHED = """
import os, sys
def look(event, arguments):
    if event == "pickle.find_class":
        os._exit(42)
sys.addaudithook(look)
from penstock_function.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


class Planted:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (str(self._path), "w")


def rewrite(folder: Path, name: str, content: bytes) -> Path:
    """Another content of a file of the package, which its manifest vouches for."""
    (folder / name).write_bytes(content)
    if name != "function.json":
        manifest = json.loads((folder / "function.json").read_bytes())
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
        (folder / "function.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("name", ["function.json", "model.onnx", "samples.json"])
@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_a_planted_pickle_is_no_package(
    make_package: Callable[..., Path], tmp_path: Path, name: str, protocol: int
) -> None:
    """In the place of any of its files: refused as what it is, and not run."""
    mark = tmp_path / "run"
    planted = pickle.dumps(Planted(mark), protocol)
    pickle.loads(planted).close()
    assert mark.exists()  # so it would
    mark.unlink()
    with pytest.raises(PackageError, match=name):
        Scorer(Package.load(rewrite(make_package(), name, planted))).prove()
    assert not mark.exists()


def test_no_way_to_an_answer_unpickles(
    make_package: Callable[..., Path], zipped: Callable[[Path], bytes], right: dict[str, Any]
) -> None:
    """A started runtime, by init and by each protocol: nothing in it, and nothing that it calls, loads a pickle."""
    command = [sys.executable, "-c", _WATCHED, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        code = base64.b64encode(zipped(make_package())).decode()
        tensors = [
            {"name": name, "datatype": kind, "shape": [1], "data": [right[name]]}
            for name, kind in zip(right, ("BYTES", "FP64", "FP32", "INT64", "INT32", "BOOL"), strict=True)
        ]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            for path, body in {
                "/init": {"value": {"code": code, "binary": True}},
                "/run": {"value": right},
                "/predict": right,
                "/v2/models/delays/infer": {"inputs": tensors, "parameters": {"binary_data_output": True}},
            }.items():
                assert client.post(path, json=body).status_code == 200
            for path in ("/health", "/openapi.json", "/docs", "/metrics", "/v2/models/delays"):
                assert client.get(path).status_code == 200
            for kind in ("application/octet-stream", "application/x-python-pickle"):
                body = pickle.dumps(Planted(Path("/")))
                assert (
                    client.post("/predict", content=body, headers={"content-type": kind}).status_code == 400
                )
        process.terminate()
    assert process.returncode == 0


def test_who_watches_sees(tmp_path: Path) -> None:
    """The test above can fail: a pickle that is loaded ends the process that it watches."""
    planted = pickle.dumps(Planted(tmp_path / "run"))
    code = _WATCHED.replace("sys.exit(main(", f"__import__('pickle').loads({planted!r}); sys.exit(main(")
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 42
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "location", ["secret.bin", "./secret.bin", "../secret/secret.bin", "{folder}/secret.bin"]
)
def test_a_model_reads_no_other_file(
    make_package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    """ONNX can keep a tensor in a file beside the model; one that names a file of ours is not loaded."""
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "secret.bin").write_bytes(bytes(8))
    monkeypatch.chdir(folder)
    tensor = TensorProto(
        name="offset", data_type=TensorProto.DOUBLE, dims=[1], data_location=TensorProto.EXTERNAL
    )
    for key, value in {"location": location.format(folder=folder), "offset": "0", "length": "8"}.items():
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N"]) for name in ("x", "prediction")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "offset"], ["prediction"])],
        "outside",
        values[:1],
        values[1:],
        [tensor],
    )
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=10).SerializeToString()
    samples = {"records": [{"x": 1.0}], "answers": [{"prediction": 1.0}]}
    package = make_package(
        task="regression", inputs=[{"name": "x", "type": "double"}], model=model, samples=samples
    )
    with pytest.raises(PackageError, match=r"model\.onnx cannot be loaded"):
        Scorer(Package.load(package))
