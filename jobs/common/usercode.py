"""Calls the user's `model.py`, and tells its errors in the user's own lines.

Functions of the folder travel to Python workers by value, so a UDF may use any helper that lies beside model.py.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from penstock import durable, requirements
from penstock.errors import PenstockError, UserCodeError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: The folder whose model was loaded last in this process.
_loaded: list[Path] = []
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
#: Where the JVM's stack begins in an error's text, and the causes that are named in it.
_STACK = re.compile(r"\n\s*(?:JVM stacktrace:|Driver stacktrace:|at [\w.$]+[/.(])")
_CAUSE = re.compile(r"^Caused by: (.+)$", re.MULTILINE)
_MAX_MESSAGE = 1500
#: What Spark passes on of an executor's pod that the cluster killed.
_EXECUTOR_OUT_OF_MEMORY = ("OOMKilled", "exit code: 137", "exit code 137")


@dataclass(frozen=True)
class UserCode:
    """A pipeline's loaded `model.py`; `call("features", ...)` runs one of its functions."""

    pipeline: str
    folder: Path
    module: ModuleType

    def call(self, function: str, *arguments: Any) -> Any:
        """What `function` of model.py returns. Raises UserCodeError where it is missing or raises."""
        found: Callable[..., Any] | None = getattr(self.module, function, None)
        if not callable(found):
            raise UserCodeError(
                f"dags/{self.pipeline}/model.py has no function {function}()",
                next_step=f"define {function}() in it (docs/pipeline.md)",
            )
        with self.blamed(f"{function}()"):
            return found(*arguments)

    @contextmanager
    def blamed(self, what: str) -> Iterator[None]:
        """Turn what goes wrong in here into a UserCodeError with the user's lines.

        Spark is lazy: a mistake in features() may only come out when its rows are asked for, so those actions
        run under this too. A full disk stays a StoreError; Penstock's own errors pass as they are.
        """
        try:
            yield
        except PenstockError:
            raise
        except Exception as error:
            if durable.says_no_room(str(error)):
                raise durable.full(
                    f"Spark could not write in {what} of pipeline {self.pipeline!r}"
                ) from error
            raise UserCodeError(
                f"{what} of dags/{self.pipeline}/model.py failed: {_said(error)}{_where(error, self.folder)}",
                next_step=_advice(error),
            ) from error


def load(pipeline: str, dags: Path, spark: SparkSession) -> UserCode:
    """Import `dags/<pipeline>/model.py`, with its folder on the path, here and in Python workers.

    Raises UserCodeError where the file is missing or does not import, or a library that the folder asks for is not here.
    """
    from pyspark import cloudpickle

    folder = dags / pipeline
    path = folder / "model.py"
    if not path.is_file():
        raise UserCodeError(
            f"pipeline {pipeline!r} has no dags/{pipeline}/model.py",
            next_step="write features() and estimator() in it (docs/pipeline.md)",
        )
    lock = folder / requirements.FILE
    if lacking := requirements.missing(lock):
        raise UserCodeError(
            f"dags/{pipeline}/{requirements.FILE} asks for {', '.join(lacking)}",
            next_step=requirements.install(lock),
        )
    _forget_other_models(folder)
    sys.path.insert(0, str(folder))
    spark.sparkContext.environment["PYTHONPATH"] = str(folder)
    spec = importlib.util.spec_from_file_location("model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    code = UserCode(pipeline, folder, module)
    with code.blamed("the import"):
        spec.loader.exec_module(module)
    for own in _modules_below(folder):
        cloudpickle.register_pickle_by_value(own)  # type: ignore[no-untyped-call]
    return code


def _forget_other_models(folder: Path) -> None:
    """Two pipelines may both have a helpers.py: only the one in use may be imported and on the path."""
    for other in _loaded:
        for module in _modules_below(other):
            del sys.modules[module.__name__]
        sys.path[:] = [entry for entry in sys.path if entry != str(other)]
    _loaded[:] = [folder]


def _modules_below(folder: Path) -> list[ModuleType]:
    return [
        module
        for module in list(sys.modules.values())
        if isinstance(getattr(module, "__file__", None), str) and folder in Path(str(module.__file__)).parents
    ]


def _said(error: Exception) -> str:
    """The error's kind and message, without the JVM's stack."""
    text = str(error)
    if "Traceback (most recent call last)" in text:  # a Python worker's: its last line says what was raised
        lines = [
            line
            for line in text.splitlines()
            if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Warning)\b", line)
        ]
        if lines:
            return lines[-1]
    head = _STACK.split(text)[0].strip()[:_MAX_MESSAGE]
    causes = _CAUSE.findall(text)
    # Spark says at the end of a long chain what it was that it could not do.
    cause = f"; caused by {causes[-1][:_MAX_MESSAGE]}" if causes and causes[-1] not in head else ""
    return f"{type(error).__name__}: {head}{cause}"


def _where(error: Exception, folder: Path) -> str:
    """The user's own lines, innermost last; of the driver's traceback, or of a Python worker's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"\n  {_line(error.filename, error.lineno or 0, 'module', folder)}"
    frames = [
        (frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(error.__traceback__)
    ]
    frames += [(file, int(line), name) for file, line, name in _FRAME.findall(str(error))]
    own = [_line(file, line, name, folder) for file, line, name in frames if folder in Path(file).parents]
    return "".join(f"\n  {line}" for line in own)


def _line(file: str, number: int, name: str, folder: Path) -> str:
    path = Path(file)
    shown = path.relative_to(folder.parent.parent) if folder in path.parents else path.name
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    code = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    return f"{shown}:{number} in {name}: {code}".rstrip(": ")


def _advice(error: Exception) -> str:
    if any(word in str(error) for word in _EXECUTOR_OUT_OF_MEMORY):
        return "an executor was killed for want of memory: give the stage's executors more, or a UDF less to hold"
    if "Python worker exited unexpectedly" in str(error):
        return (
            "a Python worker died, most often of too little memory: give the stage more, or do less in a UDF"
        )
    return "mend the line named above, then run again"
