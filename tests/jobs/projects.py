"""A project made for a test, and its stages run in the test's own process."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.common.job import main
from penstock import keys
from penstock.results import Input, StageResult
from penstock.settings import Settings
from penstock.stages import STAGES, code_digest, folder_digest
from penstock.store import Store
from penstock.work import Item, Outcome, Request


class Project:
    """A project in a folder of its own: real code and locks, its own dags/, store and MLflow."""

    def __init__(self, root: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        checkout = Path(__file__).parents[2]
        self.root = root
        (root / "dags").mkdir(parents=True)
        for name in ("jobs", "images"):
            (root / name).symlink_to(checkout / name)
        self.settings = Settings(
            root=root,
            var=root / "var",
            store=f"file://{root / 'var' / 'store'}",
            mlflow_uri=mlflow_uri,
        )
        self.store = Store(self.settings.store)
        self._monkeypatch = monkeypatch
        for name, value in self.settings.environment().items():
            monkeypatch.setenv(name, value)

    def model(self, pipeline: str, **files: str) -> None:
        """Write `dags/<pipeline>/<name>.py` for each file given as dedented source."""
        folder = self.root / "dags" / pipeline
        folder.mkdir(exist_ok=True)
        for name, source in files.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")

    def collected(self, pipeline: str, subject: str, table: pa.Table) -> Input:
        """Lay a table into the store as collect leaves a source's interval."""
        name = f"{pipeline}/collect/{keys.digest([subject, uuid.uuid4().hex])}/attempt"
        path = Path(self.store.path(f"{name}/data.parquet"))
        path.parent.mkdir(parents=True)
        pq.write_table(table, path)
        return Input(path=name, digest=keys.digest_bytes(path.read_bytes()))

    def item(
        self,
        stage: str,
        pipeline: str,
        spec: dict[str, Any],
        inputs: dict[str, Input],
        salt: str | None = None,
    ) -> Item:
        """A stage's item with its true key."""
        if STAGES[stage].user_code:
            inputs = {**inputs, "folder": Input(path="", digest=folder_digest(self.root / "dags", pipeline))}
        return Item.make(
            stage,
            spec=spec,
            inputs=inputs,
            salt=salt,
            code=code_digest(self.root, stage),
            environment=keys.environment_digest(self.root),
        )

    def run(self, stage: str, pipeline: str, item: Item) -> tuple[Outcome, StageResult | None]:
        """Do an item in this process, by the job's own `main`; its outcome, and its result if it left one."""
        asked, answered = self._files(stage, pipeline, item)
        argv = [f"jobs.{stage}", "--request", str(asked), "--outcome", str(answered)]
        self._monkeypatch.setattr(sys, "argv", argv)
        run = importlib.import_module(f"jobs.{stage}.stage").run
        with contextlib.suppress(SystemExit):
            main(stage, run)
        return self._ended(stage, pipeline, item, answered)

    def spawn(
        self, stage: str, pipeline: str, item: Item, **resources: Any
    ) -> tuple[Outcome, StageResult | None]:
        """Do an item in a process of its own, as a runner does, with the `cpu` and `memory` given."""
        asked, answered = self._files(stage, pipeline, item, **resources)
        command = [sys.executable, "-m", f"jobs.{stage}", "--request", str(asked), "--outcome", str(answered)]
        subprocess.run(command, env={**os.environ, **self.settings.environment()}, cwd=self.root, check=False)
        return self._ended(stage, pipeline, item, answered)

    def _files(self, stage: str, pipeline: str, item: Item, **resources: Any) -> tuple[Path, Path]:
        request = Request(stage=stage, pipeline=pipeline, run="test", items=[item], **resources)
        asked, answered = self.root / f"{item.key}.request.json", self.root / f"{item.key}.outcome.json"
        asked.write_text(request.model_dump_json())
        return asked, answered

    def _ended(
        self, stage: str, pipeline: str, item: Item, answered: Path
    ) -> tuple[Outcome, StageResult | None]:
        outcome = Outcome.model_validate_json(answered.read_bytes())
        return outcome, self.store.result(pipeline, stage, item.key)
