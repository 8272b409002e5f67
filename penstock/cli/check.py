"""`penstock check`: what can be said of a pipeline without running it, in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project
from penstock.cli.answers import CheckAnswer, CheckedPipeline
from penstock.cli.command import DEBUG, command
from penstock.errors import PenstockError
from penstock.findings import Checked, CheckFindings, CheckRequest, Finding

if TYPE_CHECKING:
    from rich.console import Console

    from penstock import Pipeline
    from penstock.settings import Settings


def add_to(app: typer.Typer) -> None:
    command(app, "check", show)(check)


def check(
    name: Annotated[str | None, typer.Argument(help="One pipeline; all without it.")] = None,
) -> CheckAnswer:
    """Check the spec, its imports, the suites, the model code and the function's steps, without running anything."""
    here = project.settings()
    findings: dict[str, list[Finding]] = {}
    sound: dict[str, Pipeline] = {}
    for each in project.names(name, here):
        try:
            sound[each] = project.pipeline(each, here)
            findings[each] = []
        except PenstockError as error:
            findings[each] = [_spec_fault(each, error)]
            if os.environ.get(DEBUG) and error.__cause__ is not None:
                raise
    for each, found in _by_job(sound, here).items():
        findings[each] += found
    return CheckAnswer(pipelines=[CheckedPipeline(name=each, findings=findings[each]) for each in findings])


def _spec_fault(name: str, error: PenstockError) -> Finding:
    return Finding(
        severity="error",
        where=f"dags/{name}/pipeline.py",
        message=error.message,
        next_step=error.next_step or "mend the declaration; `penstock schema` prints what is allowed",
    )


def _by_job(sound: dict[str, Pipeline], here: Settings) -> dict[str, list[Finding]]:
    """What the job side finds: it can import pyspark, Great Expectations and the table of stages; we may not."""
    if not sound:
        return {}
    request = CheckRequest(
        pipelines=[
            Checked(
                name=name,
                suites=declared.suites,
                bundle=declared.function.bundle,
                sources={source.name: sorted(source.columns or {}) for source in declared.sources},
                steps=declared.function.own_steps,
            )
            for name, declared in sound.items()
        ]
    )
    temporary = here.var / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-", dir=temporary) as folder:
        asked, answered = Path(folder) / "request.json", Path(folder) / "findings.json"
        asked.write_text(request.model_dump_json())
        ran = subprocess.run(
            [sys.executable, "-m", "jobs.check", "--request", str(asked), "--findings", str(answered)],
            cwd=here.root,
            env={**os.environ, **here.environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if not answered.is_file():
            last = ran.stdout.strip().splitlines()[-3:]
            raise PenstockError(
                f"the check of model code, suites and steps ended with exit code {ran.returncode}: {' | '.join(last)}",
                next_step="if a model.py ends the process on import, mend that; else install requirements.txt",
            )
        return CheckFindings.model_validate_json(answered.read_bytes()).findings


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: CheckAnswer, console: Console) -> None:
    """A line a finding."""
    from rich.markup import escape

    if not answer.pipelines:
        console.print("no pipelines yet; make one: penstock init NAME")
    for pipeline in answer.pipelines:
        faulty = any(finding.severity == "error" for finding in pipeline.findings)
        console.print(
            f"[bold]{pipeline.name}[/] {'[bold red]has faults[/]' if faulty else '[green]is sound[/]'}"
        )
        for finding in pipeline.findings:
            colour = "red" if finding.severity == "error" else "yellow"
            console.print(
                f"  [{colour}]{finding.severity}[/] {escape(finding.where)}: {escape(finding.message)}. "
                f"To do: {escape(finding.next_step)}",
                soft_wrap=True,
            )
