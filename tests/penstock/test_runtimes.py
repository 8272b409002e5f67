"""Which program serves a package of which kind."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from penstock import runtimes
from penstock.errors import PenstockError


@pytest.fixture
def jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runtime in Java is to be; it is not there yet."""
    path = tmp_path / runtimes.JAR
    monkeypatch.setattr(runtimes, "_CHECKOUT", tmp_path)
    path.parent.mkdir(parents=True)
    return path


def test_each_kind_has_its_program(jar: Path, tmp_path: Path) -> None:
    """ONNX is served by this Python, with a prediction log and the libraries of steps; MLeap by a Java, with half of the memory as heap."""
    onnx = runtimes.command(
        "onnx", tmp_path, memory_bytes=2**30, spool=tmp_path / "spool", libraries=[tmp_path]
    )
    assert onnx[:4] == [sys.executable, "-P", "-m", "penstock_function"]
    assert onnx[-3:] == ["--log", str(tmp_path / "spool"), f"--libraries={tmp_path}"]
    jar.touch()
    mleap = runtimes.command("mleap", tmp_path, memory_bytes=2**30, spool=tmp_path / "spool", port=8089)
    assert Path(mleap[0]).name == "java"
    # TMPDIR, at which no JVM looks, is all that may be written in a container.
    assert {f"-Xmx{2**29}", f"-Djava.io.tmpdir={tempfile.gettempdir()}"} <= set(mleap)
    assert mleap[-8:-2] == ["-jar", str(jar), "--package", str(tmp_path), "--port", "8089"]
    for command in (onnx, mleap):
        assert runtimes.is_one(command)
        assert "--package" in command
    assert not runtimes.is_one(["java", "-jar", "another.jar"])


@pytest.mark.parametrize("kind", ["onnx", "mleap"])
def test_a_runtime_may_wait_for_its_package(jar: Path, kind: runtimes.Kind) -> None:
    """Without a package it is started with none, as an action of OpenWhisk is."""
    jar.touch()
    assert "--package" not in runtimes.command(kind, None, memory_bytes=2**30)


def test_a_runtime_that_is_not_built_says_how_to_build_it(jar: Path, tmp_path: Path) -> None:
    """The error names the jar that is missing, and the command that makes it."""
    with pytest.raises(PenstockError) as caught:
        runtimes.command("mleap", tmp_path, memory_bytes=2**30)
    assert str(jar) in caught.value.message
    assert f"make {runtimes.JAR}" in str(caught.value)
