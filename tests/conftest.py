"""What all tests share: libraries that write nothing into the home, and an MLflow database, made once.

Airflow, MLflow and others look at the environment while they are imported, which test modules do when they are
collected: it is set here, before any of them.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from penstock import telemetry

telemetry.switch_off()
_airflow = tempfile.mkdtemp(prefix="penstock-airflow-")
atexit.register(shutil.rmtree, _airflow, ignore_errors=True)
_cache = Path(__file__).parents[1] / "var" / "cache"
os.environ |= {
    "AIRFLOW_HOME": _airflow,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_airflow}/airflow.db",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "MPLCONFIGDIR": str(_cache / "matplotlib"),
}
set_hypothesis_home_dir(_cache / "hypothesis")
# How long an example takes says more of the machine than of the code.
settings.register_profile("penstock", deadline=None)
settings.load_profile("penstock")

#: Gives the MLflow URI of a new, empty database at a path.
MakeMlflow = Callable[[Path], str]
#: Runs Python code with arguments; gives what it printed, and the paths that it left in its home.
Stranger = Callable[..., tuple[str, list[str]]]


@pytest.fixture(scope="session")
def make_mlflow(tmp_path_factory: pytest.TempPathFactory) -> MakeMlflow:
    """Copies an MLflow database that holds nothing."""
    from mlflow import MlflowClient

    empty = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{empty}").search_registered_models()

    def make(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(empty, path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    """A process with nothing set but an empty home, in which it runs and which is its temporary folder too."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}

    def run(code: str, *arguments: str) -> tuple[str, list[str]]:
        command = [sys.executable, "-c", code, *arguments]
        ran = subprocess.run(
            command, env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=300
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip(), sorted(str(path.relative_to(home)) for path in home.rglob("*"))

    return run
