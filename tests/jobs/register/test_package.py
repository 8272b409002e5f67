"""The function package that register writes, and its self-check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.register.package import Manifest, fault, prove_steps, write
from penstock.errors import UserCodeError
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


DOUBLE = """
TAKES = {"half": "double"}
GIVES = {"x": "double"}
EXAMPLES = [({"half": 1}, {"x": 2})]

def run(record):
    return {"x": 2 * record["half"]}
"""


def stepped(folder: Path, samples: Path, source: str) -> Path:
    """The package with a step before its model."""
    step = folder / "given" / "step.py"
    step.parent.mkdir(parents=True)
    step.write_text(source)
    manifest = Manifest(**{**vars(MANIFEST), "steps": ["double", "score"]})
    model = linear({"x": 2.0, "seats": 1.0}).SerializeToString()
    write(folder / "package", manifest, model, samples, {"steps/double/step.py": step})
    return folder / "package"


def test_a_package_holds_its_steps(tmp_path: Path, samples: Path) -> None:
    """The runtime reads them, and their digests are the package's."""
    package = stepped(tmp_path, samples, DOUBLE)
    prove_steps(package)
    assert Package.load(package).before == {"double": DOUBLE.encode()}
    other = json.loads((stepped(tmp_path / "b", samples, f"# \n{DOUBLE}") / "function.json").read_text())
    assert other["files"] != json.loads((package / "function.json").read_text())["files"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('{"x": 2}', '{"x": 3}', "example 0 of steps/double/step.py: found {'x': 2.0}, expected {'x': 3}"),
        (
            'GIVES = {"x": "double"}',
            'GIVES = {"x": "float"}',
            "double gives 'x' as float, which is taken as double",
        ),
        ("return", "raise", "steps/double/step.py"),
    ],
)
def test_wrong_steps_are_refused(tmp_path: Path, samples: Path, old: str, new: str, said: str) -> None:
    """No gate judges them: they are wrong or right, by their own examples and by the model's columns."""
    with pytest.raises(UserCodeError, match="the steps of the function are refused") as refused:
        prove_steps(stepped(tmp_path, samples, DOUBLE.replace(old, new)))
    assert said in refused.value.message
