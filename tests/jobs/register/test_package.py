"""The function package that register writes, and its self-check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.register.package import Manifest, fault, write
from penstock_function.package import Log, Package
from tests.jobs.small_packages import linear

MANIFEST = Manifest(
    name="flights",
    version="7",
    key="abc",
    runtime="onnx",
    task="regression",
    inputs=[{"name": "x", "type": "double"}, {"name": "seats", "type": "long"}],
    classes=None,
    output="prediction",
    tolerance=1e-6,
    environment={"pyspark": "4.1.4"},
    reference={"x": 0.25, "seats": 2},
    log={"pipeline": "flights", "rate": 0.5, "sensitive": ["seats"]},
)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Samples with the right answers of 2 x + seats."""
    path = tmp_path / "given.json"
    records = [{"x": 0.5, "seats": 3}, {"x": None, "seats": 2}]
    path.write_text(json.dumps({"records": records, "answers": [{"prediction": 4.0}, {"prediction": 2.0}]}))
    return path


def test_what_is_written_the_runtime_reads(tmp_path: Path, samples: Path) -> None:
    """The runtime loads the package with every field as it was given, and the package proves itself."""
    write(tmp_path / "package", MANIFEST, linear({"x": 2.0, "seats": 1.0}).SerializeToString(), samples)
    package = Package.load(tmp_path / "package")
    assert (package.name, package.version, package.key, package.task) == ("flights", "7", "abc", "regression")
    assert [(field.name, field.type) for field in package.inputs] == [("x", "double"), ("seats", "long")]
    assert (package.output, package.tolerance, package.environment) == (
        "prediction",
        1e-6,
        {"pyspark": "4.1.4"},
    )
    assert package.log == Log("flights", 0.5, frozenset({"seats"}))
    assert package.reference == {"x": 0.25, "seats": 2}
    assert fault(tmp_path / "package") is None


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, samples: Path) -> None:
    """A package is content: written twice it has one digest, and another version another one."""
    model = linear({"x": 2.0, "seats": 1.0}).SerializeToString()
    first = write(tmp_path / "first", MANIFEST, model, samples)
    assert write(tmp_path / "second", MANIFEST, model, samples) == first
    other = Manifest(**{**vars(MANIFEST), "version": "8"})
    assert write(tmp_path / "third", other, model, samples) != first


def test_a_wrong_answer_is_told_not_raised(tmp_path: Path, samples: Path) -> None:
    """A package that differs from Spark is written all the same: the parity gate judges it, by what is told here."""
    write(tmp_path / "package", MANIFEST, linear({"x": 2.001, "seats": 1.0}).SerializeToString(), samples)
    said = fault(tmp_path / "package")
    assert said is not None
    assert "sample 0" in said
    assert "4.0" in said
