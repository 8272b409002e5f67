"""Registers the small models of `trained_store`, as the tests of register and validate_model both need."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock import keys, steps
from penstock.registry import Registry, Version
from penstock.results import Input, StageResult
from penstock.settings import Settings, find_root
from penstock.store import Store
from penstock.work import Item
from tests.conftest import MakeMlflow
from tests.jobs.driver import Driver

TASKS = {"flights": "binary", "delay": "regression", "kinds": "multiclass"}


@dataclass(frozen=True)
class Project:
    """An installation of a test's own with the trained models in its store and an empty registry."""

    settings: Settings
    folder: Path

    @classmethod
    def make(cls, folder: Path, trained: Path, make_mlflow: MakeMlflow) -> Project:
        var = folder / "var"
        shutil.copytree(trained, var / "store")
        uri = make_mlflow(var / "mlflow" / "mlflow.db")
        settings = Settings(root=find_root(), var=var, store=f"file://{var}/store", mlflow_uri=uri)
        return cls(settings, folder)

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.mlflow_uri)

    def driver(self, stage: str, pipeline: str) -> Driver:
        return Driver(stage, self.settings, pipeline)

    def trained(self, pipeline: str, name: str) -> StageResult:
        result = self.store.result(pipeline, "train", keys.digest(["train", name]))
        assert result is not None
        return result

    def register_item(self, pipeline: str, name: str, *, salt: str | None = None, **spec: Any) -> Item:
        """What register is asked for a trained model; `spec` overrides."""
        task = TASKS[pipeline]
        given = {
            "function": pipeline,
            "task": task,
            "label": "label",
            "output": "prediction" if task == "regression" else "probability",
            "tolerance": 1e-6,
            "log": None,
            "bundle": "onnx",
            "steps": ["score"],
            "window_end": "2013-06-03T00:00:00+00:00",
            "problem": "Will it be late?",
        }
        asked = {**given, **spec}
        inputs = {"train": self.trained(pipeline, name).as_input()}
        for step in asked["steps"]:
            if step != "score":
                digest = steps.digest(self.settings.steps, step)
                inputs[steps.input_of(step)] = Input(path=f"steps/{step}", digest=digest)
        return self.driver("register", pipeline).item(asked, inputs=inputs, salt=salt)

    def register(self, pipeline: str, name: str, *, salt: str | None = None, **spec: Any) -> StageResult:
        """Register a trained model in this process and commit the result."""
        from jobs.register.stage import run

        return self.commit("register", pipeline, self.register_item(pipeline, name, salt=salt, **spec), run)

    def commit(self, stage: str, pipeline: str, item: Item, run: Any) -> StageResult:
        """Do an item in this process, as the job would; an attempt folder of its own each time."""
        scratch = self.folder / "scratch" / item.key
        shutil.rmtree(scratch, ignore_errors=True)
        done, folder = self.driver(stage, pipeline).here(run, item, scratch)
        return self.store.commit(
            StageResult(
                pipeline=pipeline, stage=stage, subject="", key=item.key, attempt=folder.name, digest=done.digest,
                state=done.state, outputs=done.outputs, summary=done.summary, gates=done.gates,
                inputs=item.inputs, spec=item.spec, started="2013-07-01T00:00:00+00:00", seconds=1.0,
            )
        )  # fmt: skip

    def version(self, pipeline: str, name: str) -> Version:
        """The registered version of a trained model."""
        found = self.registry.by_key(pipeline, self.trained(pipeline, name).key)
        assert found is not None
        return found

    def path(self, result: StageResult | Input, name: str) -> Path:
        return Path(self.store.path(f"{result.path}/{name}"))
