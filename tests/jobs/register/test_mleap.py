"""A registered function's package once more, for the runtime in Java."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from jobs.bundle.convert import to_onnx
from jobs.bundle.field import Field
from jobs.register import package
from jobs.register.mleap import main
from penstock_function.package import Package, PackageError
from tests.jobs.small_models import INPUTS

pytestmark = pytest.mark.spark


def trained(store: Path, pipeline: str) -> Path:
    """The folder that training left."""
    return next(store.glob(f"{pipeline}/train/*/attempt"))


@pytest.fixture
def given(trained_store: Path, tmp_path: Path) -> Path:
    """The package of the pipeline `kinds`, of the kind onnx."""
    folder = trained(trained_store, "kinds")
    fields = [Field(entry["name"], entry["type"]) for entry in INPUTS]  # type: ignore[arg-type]
    manifest = package.Manifest(
        name="kinds",
        version="3",
        key="abc",
        runtime="onnx",
        task="multiclass",
        inputs=INPUTS,
        classes=[0, 1, 2],
        output="probability",
        tolerance=1e-6,
        environment={"pyspark": "4.1.4"},
    )
    graph = to_onnx(folder / "model", fields, "multiclass", 3)
    package.write(tmp_path / "onnx", manifest, graph.SerializeToString(), folder / "samples.json")
    return tmp_path / "onnx"


def test_the_twin_says_the_same(given: Path, trained_store: Path, tmp_path: Path) -> None:
    """All but the kind, the model and its digest is what it was; the model is a Bundle.ML; the other runtime refuses it."""
    twin = tmp_path / "twin"
    assert main([str(given), str(trained(trained_store, "kinds") / "model"), str(twin)]) == 0
    ours, onnx = (json.loads((folder / "function.json").read_text()) for folder in (twin, given))
    assert (ours.pop("runtime"), onnx.pop("runtime")) == ("mleap", "onnx")
    assert ours.pop("files")["samples.json"] == onnx.pop("files")["samples.json"]
    assert ours == onnx
    assert sorted(path.name for path in twin.iterdir()) == ["function.json", "model.zip", "samples.json"]
    with zipfile.ZipFile(twin / "model.zip") as bundle:
        assert {"bundle.json", "root/model.json", "root/node.json"} <= set(bundle.namelist())
    with pytest.raises(PackageError, match="runtime is 'mleap', expected 'onnx'"):
        Package.load(twin)


def test_another_model_is_refused(
    given: Path, trained_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model for another task leaves no package, and neither does a folder that is none."""
    arguments = [str(given), str(trained(trained_store, "delay") / "model"), str(tmp_path / "twin")]
    assert main(arguments) == 1
    assert "the pipeline's model is a regressor, but the task is multiclass" in capsys.readouterr().err
    assert main([str(tmp_path), *arguments[1:]]) == 1
    assert not (tmp_path / "twin").exists()
