"""`penstock predict`: the champion over a table in bulk, on Spark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import job, project
from penstock.cli.answers import PredictAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.registry import Version
    from penstock.results import StageResult
    from penstock.store import Store

_SUFFIXES = (".csv", ".parquet")


def add_to(app: typer.Typer) -> None:
    command(app, "predict", show)(predict)


def predict(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    data: Annotated[str, typer.Argument(metavar="IN", help="Feature rows: a CSV with a header, or Parquet.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="What to write: .csv or .parquet.")],
) -> PredictAnswer:
    """Score a table with the champion: IN's columns, then prediction, probabilities and version."""
    from penstock.registry import Registry
    from penstock.store import Store

    here = project.settings()
    if output.suffix not in _SUFFIXES or not output.absolute().parent.is_dir() or output.is_dir():
        raise PenstockError(
            f"OUT is {str(output)!r}: expected a .csv or .parquet file in a folder that is there",
            next_step="correct its path",
        )
    if "://" not in data and not Path(data).exists():
        raise PenstockError(f"IN is {data!r}, and there is no such file", next_step="correct its path")
    champion = Registry(here.mlflow_uri).champion(name)
    if champion is None or champion.register_path is None:
        raise PenstockError(f"pipeline {name!r} has no champion yet", next_step=f"penstock run {name}")
    train = _training(Store(here.store), champion)
    spec = {
        "data": data if "://" in data else str(Path(data).absolute()),
        "output": str(output.absolute()),
        "version": champion.version,
        "inputs": train.summary["inputs"],
        "classes": train.summary["classes"],
    }
    said = json.loads(job.run("predict", name, here, spec, {"train": train.as_input()}))
    return PredictAnswer(pipeline=name, version=champion.version, output=str(output), **said)


def _training(store: Store, champion: Version) -> StageResult:
    """What trained a version, by way of its registration."""
    assert champion.register_path is not None
    registered = store.result_at(champion.register_path)
    return store.result_at(registered.inputs["train"].path)


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: PredictAnswer, console: Console) -> None:
    refused = (
        f"; {answer.refused:,} rows were refused by the model and are left out" if answer.refused else ""
    )
    console.print(
        f"{answer.rows:,} rows scored by version {answer.version}: {answer.output}{refused}", soft_wrap=True
    )
