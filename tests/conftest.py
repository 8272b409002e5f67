"""What all tests share: an MLflow database, made once, as making one takes seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

#: Gives the MLflow URI of a new, empty database at a path.
MakeMlflow = Callable[[Path], str]


@pytest.fixture(scope="session")
def make_mlflow(tmp_path_factory: pytest.TempPathFactory) -> MakeMlflow:
    """Copies an MLflow database that holds nothing."""
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    from mlflow import MlflowClient

    empty = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{empty}").search_registered_models()

    def make(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(empty, path)
        return f"sqlite:///{path}"

    return make
