"""`penstock up`, `down` and `logs`: this machine's services, and what functions and runs print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project
from penstock.cli.answers import DownAnswer, LogsAnswer, UpAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console


def add_to(app: typer.Typer) -> None:
    command(app, "up", show_up)(up)
    command(app, "down", show_down)(down)
    command(app, "logs", show_logs)(logs)


def up() -> UpAnswer:
    """Start Airflow, the MLflow UI and the function host on loopback, and wait until they answer."""
    from penstock import services

    found = services.up(project.settings(), lambda line: print(line, file=sys.stderr, flush=True))
    return UpAnswer(
        airflow=found.airflow, mlflow=found.mlflow, host=found.host, user=found.user, password=found.password
    )


def down() -> DownAnswer:
    """Stop exactly what `up` or a run started."""
    from penstock import services

    return DownAnswer(stopped=services.down(project.settings()))


def logs(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    run: Annotated[
        str | None, typer.Option(help="A run's log (its id, its beginning, or `last`) instead.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="So many of the newest lines.")] = 100,
) -> LogsAnswer:
    """Show what the live function printed, or what a run in this terminal did."""
    here = project.settings()
    if run is None:
        function = project.function(name, here)
        return LogsAnswer(pipeline=name, run=None, lines=function.target.logs(function.name, lines))
    from penstock import local

    record = project.find_run(f"{name}/{run}", here)
    path = local.log_path(here, name, record.run.run)
    if not path.is_file():
        raise PenstockError(
            f"run {record.run.run} of {name} has no log here (no {path}): only runs in a terminal write one",
            next_step="see the task logs in Airflow's UI, or `penstock explain` for why each stage did what it did",
        )
    kept = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return LogsAnswer(pipeline=name, run=record.run.run, lines=kept[-lines:])


# -- for people -----------------------------------------------------------------------------------------------


def show_up(answer: UpAnswer, console: Console) -> None:
    console.print(f"Airflow        {answer.airflow}", soft_wrap=True)
    console.print(f"  login        {answer.user} / {answer.password}", soft_wrap=True, markup=False)
    console.print(f"MLflow         {answer.mlflow}", soft_wrap=True)
    console.print(f"function host  {answer.host}", soft_wrap=True)
    console.print("stop them: penstock down", style="dim")


def show_down(answer: DownAnswer, console: Console) -> None:
    console.print(f"stopped {', '.join(answer.stopped)}" if answer.stopped else "nothing was running")


def show_logs(answer: LogsAnswer, console: Console) -> None:
    for line in answer.lines:
        console.print(line, markup=False, soft_wrap=True)
