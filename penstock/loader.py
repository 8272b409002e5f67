"""Reads a pipeline's declaration from its folder, with or without Airflow at hand."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from penstock.errors import PenstockError, SpecError
from penstock.spec.pipeline import Pipeline

_reading: ContextVar[bool] = ContextVar("penstock_reading_spec", default=False)


def reading_spec() -> bool:
    """True while a `pipeline.py` is read only for its spec: `to_dag` then builds nothing."""
    return _reading.get()


@contextmanager
def _spec_only() -> Iterator[None]:
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


def names(dags: Path) -> list[str]:
    """The pipelines of a project: the folders below dags/ that hold a pipeline.py."""
    return sorted(path.parent.name for path in dags.glob("*/pipeline.py"))


def load(name: str, dags: Path) -> Pipeline:
    """The declaration in `dags/<name>/pipeline.py`. Raises SpecError where it is missing, broken or misnamed."""
    path = dags / name / "pipeline.py"
    if not path.is_file():
        known = ", ".join(names(dags)) or "none"
        raise SpecError(
            f"there is no pipeline {name!r} (no {path.relative_to(dags.parent)}); pipelines here: {known}",
            next_step=f"check the name, or make it: penstock init {name}",
        )
    module_name = f"penstock_spec_{name}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with _spec_only():
            spec.loader.exec_module(module)
    except PenstockError:
        raise
    except Exception as error:
        raise SpecError(
            f"dags/{name}/pipeline.py does not import: {type(error).__name__}: {error}",
            next_step="mend the file; `penstock --debug check` shows the traceback",
        ) from error
    finally:
        del sys.modules[module_name]
    found = [value for value in vars(module).values() if isinstance(value, Pipeline)]
    if len(found) != 1:
        raise SpecError(
            f"dags/{name}/pipeline.py declares {len(found)} pipelines, expected one `pipeline = Pipeline(...)`"
        )
    if found[0].name != name:
        raise SpecError(
            f"dags/{name}/pipeline.py declares the name {found[0].name!r}, expected {name!r}: folder and name are one",
            next_step="rename the folder or the pipeline",
        )
    return found[0]
