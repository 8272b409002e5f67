"""What the tests of the command line share: a project of its own, and a way to run `penstock` in it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.main import main
from penstock.promotion import Promotion
from penstock.registry import REGISTER_PATH, Registry
from penstock.results import StageResult
from penstock.settings import Settings, load
from penstock.store import Store
from penstock.targets.embedded import EmbeddedTarget
from tests.conftest import MakeMlflow

CHECKOUT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit status and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def answer(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.stdout)


Penstock = Callable[..., Ran]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An empty project: no pipelines, this checkout's jobs, all state in the test's folder."""
    root = tmp_path / "project"
    (root / "dags").mkdir(parents=True)
    (root / "expectations").mkdir()
    for shared in ("jobs", "images"):
        (root / shared).symlink_to(CHECKOUT / shared)
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PENSTOCK_ROOT", str(root))
    monkeypatch.setenv("PENSTOCK_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("PENSTOCK_HOST_PORT", "0")
    settings = load()
    yield settings
    EmbeddedTarget(settings.host_state).stop()


@pytest.fixture
def penstock(project: Settings, capfd: pytest.CaptureFixture[str]) -> Penstock:
    """Runs one command line in the project, in this process."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capfd.readouterr()
        return Ran(int(ended.value.code or 0), printed.out, printed.err)

    return run


SPEC = '''"""What is x, shifted?"""

from penstock import Pipeline, files
from penstock_airflow import to_dag

pipeline = Pipeline(
    name="shift", problem=__doc__, owner="me", task="regression", label="y", time="at", id="row",
    sources=[files("rows", "data/{{ interval }}.csv", time="at")],
    schedule="@monthly", start="2024-01-01", end="2024-03-01", metric="rmse",
)
dag = to_dag(pipeline)
'''


def write(path: Path, text: str) -> Path:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def shift(project: Settings) -> Settings:
    """The project with a declared pipeline, `shift`, that never ran."""
    write(project.dags / "shift" / "pipeline.py", SPEC)
    return project


@dataclass(frozen=True)
class Shop:
    """Versions of `shift` as register leaves them, promoted as deploy does: version N answers x + N."""

    settings: Settings
    make_function: Callable[..., Path]

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.mlflow_uri)

    @property
    def promotion(self) -> Promotion:
        target = EmbeddedTarget(self.settings.host_state)
        return Promotion(self.settings, "shift", "shift", target, self.registry)

    def register(self) -> str:
        """One more version; its number."""
        client = self.registry.client
        if not self.registry.versions("shift"):
            client.create_registered_model("shift")
        number = len(self.registry.versions("shift")) + 1
        path = f"shift/register/key{number}/won"
        self.store.put(self.make_function(number), f"{path}/package")
        self.store.commit(
            StageResult(
                pipeline="shift", stage="register", subject="", key=f"key{number}", attempt="won", digest="d",
                state="ran", summary={"version": str(number)}, started="2024-01-01T00:00:00+00:00", seconds=1.0,
            )
        )  # fmt: skip
        client.create_model_version("shift", source="file:///none", tags={REGISTER_PATH: path})
        return str(number)

    def promote(self) -> str:
        """One more version, live."""
        version = self.register()
        champion = self.registry.champion("shift")
        self.promotion.promote(version, judged_against=champion.version if champion else None)
        return version


@pytest.fixture
def shop(shift: Settings, make_mlflow: MakeMlflow, make_function: Callable[..., Path]) -> Shop:
    """The project with a registry, to which versions can be added."""
    make_mlflow(shift.var / "mlflow" / "mlflow.db")
    Store(shift.store).open_format()
    return Shop(shift, make_function)
