"""`penstock invoke`, `rollback` and `reconcile`: the live function, and what serves behind its name."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import project
from penstock.cli.answers import InvokeAnswer, ReconcileAnswer, ReconciledPipeline, RollbackAnswer
from penstock.cli.command import command
from penstock.errors import DataError, PenstockError

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.promotion import Live, Promotion
    from penstock.settings import Settings


def add_to(app: typer.Typer) -> None:
    command(app, "invoke", show_invoke)(invoke)
    command(app, "rollback", show_rollback)(rollback)
    command(app, "reconcile", show_reconcile)(reconcile)


def invoke(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    data: Annotated[
        str, typer.Option(help="A record or a list of records as JSON; @FILE reads a file, - stdin.")
    ],
) -> InvokeAnswer:
    """Ask the live function."""
    from penstock.targets import TargetError

    here = project.settings()
    function = project.function(name, here)
    payload = _payload(data)
    try:
        return InvokeAnswer(function=function.name, answer=function.target.invoke(function.name, payload))
    except TargetError as error:
        if error.status == 422:
            raise DataError(error.message, next_step=error.next_step or "correct the record") from error
        raise


def _payload(data: str) -> Any:
    where = "--data" if not data.startswith("@") and data != "-" else "stdin" if data == "-" else data[1:]
    try:
        if where == "stdin":
            text = sys.stdin.read()
        else:
            text = data if where == "--data" else Path(where).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise DataError(
            f"{where} cannot be read: {error.strerror}", next_step="correct the path after @"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{where} holds no JSON: {error}",
            next_step='give an object such as {"distance": 100.0}, or a list of them',
        ) from error


def rollback(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    to: Annotated[
        str | None, typer.Option(help="The version. Default: the newest older one that was live.")
    ] = None,
) -> RollbackAnswer:
    """Make an older version the champion and live, in seconds; while a new one is rolled out, end that."""
    here = project.settings()
    promotion = _promotion(name, here, project.function(name, here))
    if to is None and (kept := promotion.abort_rollout()) is not None:
        return RollbackAnswer(pipeline=name, before=kept.version, version=kept.version, url=kept.url)
    before, wanted = _versions(name, here, to)
    live = promotion.roll_back(wanted)
    return RollbackAnswer(pipeline=name, before=before, version=live.version, url=live.url)


def _versions(name: str, here: Settings, to: str | None) -> tuple[str | None, str]:
    """The champion's version now, and the one to go back to."""
    from penstock.registry import PROMOTED_AT, Registry

    registry = Registry(here.mlflow_uri)
    champion = registry.champion(name)
    if to is not None:
        return champion.version if champion else None, to
    if champion is None:
        raise PenstockError(
            f"pipeline {name!r} has no champion to go back from",
            next_step=f"name a version: penstock rollback {name} --to V",
        )
    for version in registry.versions(name):
        if int(version.version) < int(champion.version) and PROMOTED_AT in version.tags:
            return champion.version, version.version
    raise PenstockError(
        f"no version of {name!r} below the champion's, {champion.version}, was ever live",
        next_step=f"name one that was not: penstock rollback {name} --to V",
    )


def reconcile(
    name: Annotated[str | None, typer.Argument(help="One pipeline; all without it.")] = None,
    every: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Look each so many seconds for what is to be done, until it is stopped.",
        ),
    ] = None,
) -> ReconcileAnswer:
    """Bring what serves to the registry's alias `champion`, which a person may have moved; and a rollout to its next step."""
    here = project.settings()
    chosen = project.names(name, here)
    done: Mapping[str, Live | None]
    if every is None:
        done = {each: _promotion(each, here, project.function(each, here)).reconcile() for each in chosen}
    else:
        done = _keep_up(here, lambda: chosen if name else project.names(None, here), every)
    return ReconcileAnswer(
        pipelines=[
            ReconciledPipeline(
                name=each, version=live.version if live else None, url=live.url if live else None
            )
            for each, live in done.items()
        ]
    )


def _keep_up(here: Settings, names: Callable[[], list[str]], every: float) -> Mapping[str, Live]:
    """Until a signal says to stop: what serves of each pipeline that was not as it should be."""
    from penstock.reconciler import Reconciler

    def promotion(name: str) -> Promotion:
        # Were it guessed at, what was deployed elsewhere might be deployed here.
        return _promotion(name, here, project.declared_function(name, here))

    def say(line: str) -> None:
        print(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    here.var.mkdir(parents=True, exist_ok=True)
    return Reconciler(names, promotion, every, say, here.var / "reconciler").run()


def _promotion(name: str, here: Settings, function: project.Live) -> Promotion:
    from penstock.promotion import Promotion
    from penstock.registry import Registry

    return Promotion(here, name, function.name, function.target, Registry(here.mlflow_uri))


# -- for people -----------------------------------------------------------------------------------------------


def show_invoke(answer: InvokeAnswer, console: Console) -> None:
    console.print(json.dumps(answer.answer, indent=2, ensure_ascii=False), markup=False, soft_wrap=True)


def show_rollback(answer: RollbackAnswer, console: Console) -> None:
    before = f", before it {answer.before}" if answer.before else ""
    console.print(
        f"version {answer.version} of {answer.pipeline} serves at {answer.url}{before}", soft_wrap=True
    )


def show_reconcile(answer: ReconcileAnswer, console: Console) -> None:
    for each in answer.pipelines:
        said = f"version {each.version} serves at {each.url}" if each.version else "has no champion"
        console.print(f"{each.name}: {said}", soft_wrap=True)
