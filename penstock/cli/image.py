"""`penstock image build`: a pipeline's image, and the record that its DAG pins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project
from penstock.cli.answers import ImageAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console

_REGISTRY = "PENSTOCK_REGISTRY"


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Images that pipelines run in, as pods.", no_args_is_help=True)
    command(group, "build", show, family="image")(build)
    app.add_typer(group, name="image")


def build(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    registry: Annotated[
        str | None, typer.Option(envvar=_REGISTRY, help="Where images are pushed: registry.example/team.")
    ] = None,
    base_image: Annotated[
        str | None,
        typer.Option(help="What the job image stands on, instead of the Dockerfile's: Debian with Python."),
    ] = None,
) -> ImageAnswer:
    """Put a pipeline's folder on the job image, push both, and write dags/NAME/image.json, which its DAG pins."""
    from penstock.images import Builder

    here = project.settings()
    if not registry:
        raise PenstockError("no registry is given", next_step=f"give --registry, or set {_REGISTRY}")
    builder = Builder(
        here, registry.rstrip("/"), base_image, lambda line: print(line, file=sys.stderr, flush=True)
    )
    record = builder.pipeline(project.pipeline(name, here))
    return ImageAnswer(pipeline=name, image=record.image, revision=record.revision)


def show(answer: ImageAnswer, console: Console) -> None:
    console.print(f"{answer.pipeline} runs in {answer.image}", soft_wrap=True)
