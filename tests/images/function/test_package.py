"""A package is read once and believed only where its manifest and digests say so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock_function.package import Field, Package, PackageError


def test_load_gives_what_was_written(make_package: Callable[..., Path]) -> None:
    """Every entry of function.json arrives typed, and the package cannot be changed."""
    package = Package.load(make_package())
    assert (package.name, package.version, package.key) == ("delays", "7", "0123abc")
    assert package.inputs[0] == Field("carrier", "string")
    assert [field.name for field in package.inputs] == [
        "carrier",
        "distance",
        "ratio",
        "seats",
        "month",
        "holiday",
    ]
    assert package.classes == (0, 1)
    assert len(package.samples.records) == len(package.samples.answers) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        package.version = "8"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["model.onnx", "samples.json"])
def test_a_changed_file_is_refused(make_package: Callable[..., Path], name: str) -> None:
    """One changed byte in a file is noticed, and both digests are said."""
    folder = make_package()
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(
        PackageError, match=f"{name} is not the file that was packaged: its sha256 is [0-9a-f]{{64}}"
    ):
        Package.load(folder)


@pytest.mark.parametrize("name", ["function.json", "model.onnx", "samples.json"])
def test_a_missing_file_is_named(make_package: Callable[..., Path], name: str) -> None:
    """A package that lost a file is refused with that file's path."""
    folder = make_package()
    (folder / name).unlink()
    with pytest.raises(PackageError, match=f"{name} cannot be read"):
        Package.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00"])
def test_a_manifest_that_is_no_object_is_refused(make_package: Callable[..., Path], text: str) -> None:
    """Whatever function.json holds, the error says that it is no JSON object."""
    folder = make_package()
    (folder / "function.json").write_text(text)
    with pytest.raises(PackageError, match=r"function\.json"):
        Package.load(folder)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("name", "../etc"),
        ("name", ""),
        ("version", "7\r\nx: y"),
        ("version", 7),
        ("key", None),
        ("task", "ranking"),
        ("runtime", "pickle"),
        ("output", "all"),
        ("tolerance", True),
        ("tolerance", -1),
        ("classes", [0]),
        ("classes", [0, 0]),
        ("classes", [1, "1"]),
        ("classes", [True, False]),
        ("classes", None),
        ("inputs", []),
        ("inputs", [{"name": "a", "type": "decimal"}]),
        ("inputs", [{"name": "a", "type": "int"}, {"name": "a", "type": "int"}]),
        ("inputs", ["a"]),
        ("environment", []),
    ],
)
def test_a_wrong_entry_is_named(make_package: Callable[..., Path], entry: str, value: Any) -> None:
    """A wrong entry of the manifest is refused by its name."""
    folder = make_package()
    manifest = json.loads((folder / "function.json").read_text())
    (folder / "function.json").write_text(json.dumps({**manifest, entry: value}))
    with pytest.raises(PackageError, match=entry):
        Package.load(folder)


def test_all_faults_come_at_once(make_package: Callable[..., Path]) -> None:
    """Two wrong entries are both in the message."""
    folder = make_package()
    manifest = json.loads((folder / "function.json").read_text())
    (folder / "function.json").write_text(json.dumps({**manifest, "task": "ranking", "output": "all"}))
    with pytest.raises(PackageError, match=r"task is 'ranking'.*output is 'all'"):
        Package.load(folder)


def test_an_unknown_format_is_refused(make_package: Callable[..., Path]) -> None:
    """A package of a later format is refused for that alone."""
    with pytest.raises(PackageError, match="format is 2, this runtime reads format 1"):
        Package.load(make_package(format=2))


def test_no_other_file_is_read(make_package: Callable[..., Path]) -> None:
    """A manifest that lists a path outside the folder is refused before the path is opened."""
    folder = make_package()
    manifest = json.loads((folder / "function.json").read_text())
    manifest["files"]["../../etc/passwd"] = "0" * 64
    (folder / "function.json").write_text(json.dumps(manifest))
    with pytest.raises(PackageError, match="files is"):
        Package.load(folder)


@pytest.mark.parametrize(
    "samples",
    [
        {"records": [], "answers": []},
        {"records": [{}], "answers": []},
        {"records": [1], "answers": [1]},
        {"answers": []},
    ],
)
def test_samples_that_prove_nothing_are_refused(
    make_package: Callable[..., Path], samples: dict[str, Any]
) -> None:
    """No samples, or samples without answers, cannot prove a model."""
    with pytest.raises(PackageError, match=r"samples\.json"):
        Package.load(make_package(samples=samples))
