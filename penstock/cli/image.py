"""`penstock image`: a pipeline's image with the record that its DAG pins, the images of the rooms, and libraries on these."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project
from penstock.cli.answers import ImageAnswer, MachineAnswer, RoomAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.images import Builder
    from penstock.settings import Settings

_REGISTRY = "PENSTOCK_REGISTRY"
_Pipeline = Annotated[str, typer.Argument(help="The pipeline.")]
_Registry = Annotated[
    str | None, typer.Option(envvar=_REGISTRY, help="Where images are pushed: registry.example/team.")
]
_RoomRegistry = Annotated[
    str | None, typer.Option(help="Where the image is pushed: registry.example/team. Else it stays here.")
]
_BaseImage = Annotated[
    str | None,
    typer.Option(help="What the image stands on, instead of the Dockerfile's: Debian with Python."),
]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Images that pipelines and services run in.", no_args_is_help=True)
    command(group, "build", show, family="image")(build)
    command(group, "function", show_function, family="image")(function)
    command(group, "machine", show_machine, family="image")(machine)
    command(group, "notebook", show_notebook, family="image")(notebook)
    command(group, "room", show_room, family="image")(room)
    app.add_typer(group, name="image")


def build(name: _Pipeline, registry: _Registry = None, base_image: _BaseImage = None) -> ImageAnswer:
    """Put a pipeline's folder on the job image, push both, and write dags/NAME/image.json, which its DAG pins."""
    here = project.settings()
    record = _builder(here, _given(registry), base_image).pipeline(project.pipeline(name, here))
    return ImageAnswer(pipeline=name, image=record.image, revision=record.revision)


def function(name: _Pipeline, registry: _RoomRegistry = None, base_image: _BaseImage = None) -> ImageAnswer:
    """Build the function image with the libraries of a function's steps, a layer each (docs/steps.md)."""
    here = project.settings()
    builder = _builder(here, registry, base_image)
    image = builder.function(project.pipeline(name, here))
    return ImageAnswer(pipeline=name, image=image, revision=builder.revision())


def machine(
    name: Annotated[str | None, typer.Argument(help="The pipeline (default: all).")] = None,
    registry: _RoomRegistry = None,
) -> MachineAnswer:
    """Put the libraries of pipelines and of their steps on the machine image, which must be built (docs/compose.md)."""
    here = project.settings()
    names = project.names(name, here)
    image = _builder(here, registry, None).machine([project.pipeline(each, here) for each in names])
    return MachineAnswer(pipelines=names, image=image)


def notebook(name: _Pipeline, registry: _Registry = None) -> ImageAnswer:
    """Put JupyterLab on a pipeline's image, which must be built, and push it (docs/kubernetes.md)."""
    here = project.settings()
    builder = _builder(here, _given(registry), None)
    image = builder.notebook(project.pipeline(name, here))
    return ImageAnswer(pipeline=name, image=image, revision=builder.revision())


def room(
    room: Annotated[
        str,
        typer.Argument(
            help="job, airflow, function, function-grpc, function-mleap, or machine: the first three in one."
        ),
    ],
    registry: _RoomRegistry = None,
    base_image: _BaseImage = None,
) -> RoomAnswer:
    """Build the image of a room, penstock/ROOM without a registry, and write its bill of materials."""
    from penstock.images import ROOMS

    here = project.settings()
    if room not in ROOMS:
        raise PenstockError(
            f"there is no room {room!r}: expected one of {', '.join(ROOMS)}", next_step="name one of these"
        )
    made = _builder(here, registry, base_image).room(room)
    return RoomAnswer(room=room, image=made.image, sbom=str(made.sbom))


def _given(registry: str | None) -> str:
    if not registry:
        raise PenstockError("no registry is given", next_step=f"give --registry, or set {_REGISTRY}")
    return registry


def _builder(here: Settings, registry: str | None, base_image: str | None) -> Builder:
    from penstock.images import Builder

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    return Builder(here, registry.rstrip("/") if registry else None, base_image, say)


def show(answer: ImageAnswer, console: Console) -> None:
    console.print(f"{answer.pipeline} runs in {answer.image}", soft_wrap=True)


def show_function(answer: ImageAnswer, console: Console) -> None:
    console.print(f"{answer.image} serves packages of {answer.pipeline}", soft_wrap=True)


def show_machine(answer: MachineAnswer, console: Console) -> None:
    console.print(
        f"{answer.image} has the libraries of {', '.join(answer.pipelines)}: name it in PENSTOCK_MACHINE_IMAGE",
        soft_wrap=True,
    )


def show_notebook(answer: ImageAnswer, console: Console) -> None:
    console.print(f"{answer.image}: name it in deploy/notebook/kustomization.yaml", soft_wrap=True)


def show_room(answer: RoomAnswer, console: Console) -> None:
    console.print(f"{answer.image}: what is in it, {answer.sbom}", soft_wrap=True)
