"""`penstock airflow -- …`: any Airflow command, in this installation's environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project
from penstock.cli.answers import AirflowAnswer
from penstock.cli.command import command

if TYPE_CHECKING:
    from rich.console import Console


def add_to(app: typer.Typer) -> None:
    command(app, "airflow", show)(airflow)


def airflow(
    arguments: Annotated[list[str], typer.Argument(metavar="-- ARGS…", help="What follows `airflow`.")],
) -> AirflowAnswer:
    """Run an Airflow command, for example `penstock airflow -- dags list`."""
    from penstock import services

    return AirflowAnswer(arguments=arguments, exit_code=services.airflow(project.settings(), *arguments))


def show(answer: AirflowAnswer, console: Console) -> None:
    """Airflow has said it all."""
