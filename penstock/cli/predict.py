"""`penstock predict`: the champion over a table in bulk, on Spark."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project
from penstock.cli.answers import PredictAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.registry import Version
    from penstock.results import StageResult
    from penstock.settings import Settings
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
    said = _run(here, name, champion, train, data, output.absolute())
    return PredictAnswer(pipeline=name, version=champion.version, output=str(output), **said)


def _training(store: Store, champion: Version) -> StageResult:
    """What trained a version, by way of its registration."""
    assert champion.register_path is not None
    registered = store.result_at(champion.register_path)
    return store.result_at(registered.inputs["train"].path)


def _run(
    here: Settings, name: str, champion: Version, train: StageResult, data: str, output: Path
) -> dict[str, int]:
    from penstock.cli.watch import on_stderr
    from penstock.runner import ProcessRunner
    from penstock.work import Item, Request

    temporary = here.var / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="predict-", dir=temporary) as folder, on_stderr() as watch:
        result = Path(folder) / "result.json"
        item = Item(
            spec={
                "data": data if "://" in data else str(Path(data).absolute()),
                "output": str(output),
                "result": str(result),
                "version": champion.version,
                "inputs": train.summary["inputs"],
                "classes": train.summary["classes"],
            },
            inputs={"train": train.as_input()},
            key="",
        )
        watch.began("predict")
        runner = ProcessRunner(here, lambda line: watch.said("predict", line))
        outcome = runner(Request(stage="predict", pipeline=name, run="", items=[item]))
        if outcome.state == "failed":
            raise JobError(
                outcome.message or "it did not say why", outcome.kind, outcome.exit_code, outcome.next_step
            )
        return dict(json.loads(result.read_text()))


class JobError(PenstockError):
    """How the job failed, with its own kind and exit status."""

    def __init__(self, message: str, kind: str | None, exit_code: int, next_step: str | None) -> None:
        super().__init__(message, next_step=next_step)
        self.kind = kind or "error"  # type: ignore[misc]
        self.exit_code = exit_code  # type: ignore[misc]


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: PredictAnswer, console: Console) -> None:
    refused = (
        f"; {answer.refused:,} rows were refused by the model and are left out" if answer.refused else ""
    )
    console.print(
        f"{answer.rows:,} rows scored by version {answer.version}: {answer.output}{refused}", soft_wrap=True
    )
