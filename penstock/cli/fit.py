"""`penstock fit`: what a function takes, and what its calls cost on each target."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import job, project
from penstock.cli.answers import FitAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.registry import Version
    from penstock.settings import Settings


def add_to(app: typer.Typer) -> None:
    command(app, "fit", show)(fit)


def fit(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    version: Annotated[str | None, typer.Option(help="A version. Default: the champion.")] = None,
    calls_a_day: Annotated[int, typer.Option(min=1, help="How many calls to reckon with.")] = 100_000,
    prices: Annotated[
        Path | None,
        typer.Option(help="The prices, a TOML file. Default: the project's prices.toml, else examples."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write it all as one HTML page, with a plot of the costs.")
    ] = None,
) -> FitAnswer:
    """Measure a version on this machine: memory, size, start, latency, throughput; and say what its calls cost on each target."""
    from penstock.fit import prices as tables
    from penstock.fit.answer import Fit

    here = project.settings()
    if html is not None and (html.is_dir() or not os.access(html.absolute().parent, os.W_OK)):
        raise PenstockError(
            f"--html is {str(html)!r}: expected a file in a folder that is there and can be written to",
            next_step="correct its path",
        )
    table = tables.find(here.root, prices)
    read = tables.read(table)
    wanted = _version(name, version, here)
    spec = {
        "package": f"{_registration(wanted, here)}/package",
        "version": wanted.version,
        "calls": calls_a_day,
        "prices": read.model_dump(),
        "table": str(table),
        "page": str(html.absolute()) if html else None,
    }
    found = Fit.model_validate_json(job.run("fit", name, here, spec))
    return FitAnswer(
        pipeline=name,
        version=wanted.version,
        calls_a_day=calls_a_day,
        prices=str(table),
        currency=read.currency,
        utilisation=read.utilisation,
        page=str(html) if html else None,
        **dict(found),
    )


def _version(name: str, version: str | None, here: Settings) -> Version:
    from penstock.registry import Registry

    registry = Registry(here.mlflow_uri)
    found = registry.champion(name) if version is None else registry.version(name, version)
    if found is None:
        known = ", ".join(each.version for each in registry.versions(name)) or "none"
        raise PenstockError(
            f"pipeline {name!r} has no {'champion' if version is None else f'version {version}'} (versions: {known})",
            next_step=f"penstock run {name}" if known == "none" else "choose one: --version V",
        )
    return found


def _registration(version: Version, here: Settings) -> str:
    """The path of a version's registration, by the attempt that won its key."""
    from penstock.store import Store

    if version.register_path is None:
        raise PenstockError(
            f"version {version.version} of {version.name} has no function package: it was registered by hand",
            next_step="choose another: --version V",
        )
    return Store(here.store).result_at(version.register_path).path


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: FitAnswer, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from penstock.fit import words

    title = f"version {answer.version} of {answer.pipeline}, on this machine"
    measured = Table(title=title, title_justify="left", show_header=False)
    measured.add_column()
    measured.add_column(justify="right")
    for row in words.figures(answer.figures):
        measured.add_row(*row)
    title = f"{answer.calls_a_day:,} calls a day, in {answer.currency}"
    costs = Table(title=escape(title), title_justify="left")
    for number, column in enumerate(words.COSTS):
        costs.add_column(column, justify="left" if number < 2 else "right")
    for cost in answer.costs:
        costs.add_row(*map(escape, words.cost(cost)))
    console.print(measured)
    console.print(costs)
    for crossing in answer.crossovers:
        console.print(words.crossover(crossing), markup=False, soft_wrap=True)
    console.print(f"prices: {words.source(Path(answer.prices))}", markup=False, soft_wrap=True)
    if answer.page:
        console.print(f"page: {answer.page}", markup=False, soft_wrap=True)
