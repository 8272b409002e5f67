"""Nothing reports usage, whoever imports first, though nobody's environment says so."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import MakeMlflow, Stranger

_ASKS = """
import sys
from penstock.registry import Registry
Registry(sys.argv[1]).delete("nothing")
from mlflow.telemetry import get_telemetry_client
print(get_telemetry_client())
"""
_JOB = """
import jobs.common, mlflow.onnx, onnxruntime
from mlflow.telemetry import get_telemetry_client
print(get_telemetry_client())
"""


def test_the_registry_loads_an_mlflow_that_is_silent(
    stranger: Stranger, make_mlflow: MakeMlflow, tmp_path: Path
) -> None:
    """A question that is the first to need MLflow gets one without its client for usage, and the home stays empty."""
    assert stranger(_ASKS, make_mlflow(tmp_path / "mlflow.db")) == ("None", [])


def test_a_job_loads_libraries_that_are_silent(stranger: Stranger) -> None:
    """Importing anything of `jobs` is enough for MLflow and ONNX Runtime; the home stays empty."""
    assert stranger(_JOB) == ("None", [])
