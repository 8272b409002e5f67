"""A job that is no stage of a run, started by a command that waits for what it says."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.results import Input
    from penstock.settings import Settings


class JobError(PenstockError):
    """How the job failed, with its own kind and exit status."""

    def __init__(self, message: str, kind: str | None, exit_code: int, next_step: str | None) -> None:
        super().__init__(message, next_step=next_step)
        self.kind = kind or "error"  # type: ignore[misc]
        self.exit_code = exit_code  # type: ignore[misc]


def run(
    job: str, pipeline: str, here: Settings, spec: dict[str, Any], inputs: Mapping[str, Input] | None = None
) -> bytes:
    """Run `jobs.<job>` on one item, with its words on stderr; what it writes into the file `result` of the spec.

    Raises JobError.
    """
    from penstock.cli.watch import on_stderr
    from penstock.runner import ProcessRunner
    from penstock.work import Item, Request

    temporary = here.var / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{job}-", dir=temporary) as folder, on_stderr() as watch:
        result = Path(folder) / "result.json"
        item = Item(spec={**spec, "result": str(result)}, inputs=dict(inputs or {}), key="")
        watch.began(job)
        runner = ProcessRunner(here, lambda line: watch.said(job, line))
        outcome = runner(Request(stage=job, pipeline=pipeline, run="", items=[item]))
        if outcome.state == "failed":
            raise JobError(
                outcome.message or "it did not say why", outcome.kind, outcome.exit_code, outcome.next_step
            )
        return result.read_bytes()
