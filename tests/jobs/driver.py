"""Drives one item of a stage: as the process that the operator starts, or in this process for speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.common.job import Done, Work
from penstock import keys
from penstock.results import Input, StageResult
from penstock.settings import Settings
from penstock.stages import code_digest
from penstock.store import Store
from penstock.work import Item, Outcome, Request


@dataclass(frozen=True)
class Ran:
    """What a process left: its exit status, everything it printed, its outcome, and its result if there is one."""

    status: int
    said: str
    outcome: Outcome
    result: StageResult | None


@dataclass(frozen=True)
class Driver:
    """Runs items of `stage` with all state below a folder of the test's own."""

    stage: str
    settings: Settings
    pipeline: str = "example"

    @property
    def store(self) -> Store:
        return Store(self.settings.store)

    def item(
        self,
        spec: dict[str, Any],
        *,
        subject: str = "",
        inputs: dict[str, Input] | None = None,
        salt: str | None = None,
    ) -> Item:
        """An item with the key that the code here gives."""
        return Item.make(
            self.stage,
            subject=subject,
            spec=spec,
            inputs=inputs or {},
            salt=salt,
            code=code_digest(self.settings.root, self.stage),
            environment=keys.environment_digest(self.settings.root),
        )

    def process(self, item: Item, folder: Path, *, environment: dict[str, str] | None = None) -> Ran:
        """`python -m jobs.<stage>` on one item; its request and outcome lie in `folder`."""
        request, outcome = folder / "request.json", folder / "outcome.json"
        request.write_text(self._request(item).model_dump_json())
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                f"jobs.{self.stage}",
                "--request",
                str(request),
                "--outcome",
                str(outcome),
            ],
            env={**os.environ, **self.settings.environment(), **(environment or {})},
            cwd=self.settings.root,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert outcome.is_file(), said
        result = self.store.result(self.pipeline, self.stage, item.key)
        return Ran(done.returncode, said, Outcome.model_validate(json.loads(outcome.read_bytes())), result)

    def here(self, run: Callable[[Work], Done], item: Item, scratch: Path) -> tuple[Done, Path]:
        """`run` on one item in this process: what it returns, and the folder of its outputs."""
        scratch.mkdir(parents=True)
        folder = f"{self.pipeline}/{self.stage}/{item.key}/attempt"
        done = run(Work(self._request(item), item, self.store, self.settings, folder, scratch))
        return done, Path(self.store.path(folder))

    def _request(self, item: Item) -> Request:
        return Request(stage=self.stage, pipeline=self.pipeline, run="test", items=[item])
