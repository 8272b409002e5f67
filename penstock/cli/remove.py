"""`penstock remove`: takes a pipeline's function, versions, artifacts and records away."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project, styles
from penstock.cli.answers import RemoveAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console


def add_to(app: typer.Typer) -> None:
    command(app, "remove", show)(remove)


def remove(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> RemoveAnswer:
    """Take away a pipeline's function, its registered versions, its artifacts and its records."""
    from penstock.registry import Registry
    from penstock.store import Store

    here = project.settings()
    function = project.function(name, here)
    if not yes:
        _confirm(name)
    store, registry = Store(here.store), Registry(here.mlflow_uri)
    # What serves goes first, what it came from last: stopped half-way, the same command goes on. Under the lock, that nobody brings it back.
    with store.lock(f"promotion-{name}"):
        function.target.prepare()
        function.target.remove(function.name)
        versions = len(registry.versions(name))
        registry.delete(name)
        size = int(store.fs.du(store.path(name))) if store.exists(name) else 0
        store.remove(name)
    shutil.rmtree(here.var / "logs" / "runs" / name, ignore_errors=True)
    return RemoveAnswer(
        pipeline=name,
        function=function.name,
        versions=versions,
        bytes=size,
        kept=f"dags/{name} and expectations/{name}",
    )


def _confirm(name: str) -> None:
    import sys

    if not sys.stdin.isatty():
        raise PenstockError(f"removing {name} was not confirmed", next_step=f"penstock remove {name} --yes")
    typed = typer.prompt(
        f"This takes {name}'s function, versions, artifacts and records away. Type its name", err=True
    )
    if typed != name:
        raise PenstockError(f"{typed!r} was typed, not {name!r}: nothing was removed", next_step="try again")


def show(answer: RemoveAnswer, console: Console) -> None:
    console.print(
        f"removed function {answer.function}, {answer.versions} versions and {styles.size(answer.bytes)} of artifacts"
    )
    console.print(f"{answer.kept} stay (delete them by hand), and so do MLflow's runs", style="dim")
