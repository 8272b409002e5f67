"""`penstock gc`: removes what no version, alias or recent run leads to, and old logged predictions."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project, styles
from penstock.cli.answers import GarbageAnswer, GcAnswer
from penstock.cli.command import command
from penstock.errors import SpecError

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.settings import Settings
    from penstock.spec.durations import Duration


def add_to(app: typer.Typer) -> None:
    command(app, "gc", show)(gc)


def gc(
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove it; without this nothing is changed.")
    ] = False,
    keep_runs: Annotated[
        int, typer.Option(min=1, help="Keep what the newest N runs of each pipeline used.")
    ] = 20,
    keep_days: Annotated[int, typer.Option(min=1, help="Keep what the runs of the last N days used.")] = 30,
) -> GcAnswer:
    """Find (and with --delete remove) what no version, alias or recent run leads to, and logged predictions past their time."""
    from penstock.garbage import Collector, Keep
    from penstock.registry import Registry

    here = project.settings()
    collector = Collector(
        here, Registry(here.mlflow_uri), Keep(keep_runs, keep_days, _kept_logs(here)), datetime.now(UTC)
    )
    found = collector.find()
    garbage = collector.delete(found.garbage) if delete else found.garbage
    return GcAnswer(
        deleted=delete,
        garbage=[GarbageAnswer(path=each.path, kind=each.kind, bytes=each.bytes) for each in garbage],
        bytes=sum(each.bytes for each in garbage),
        kept=found.kept,
    )


def _kept_logs(here: Settings) -> dict[str, Duration]:
    """How long each pipeline keeps its logged predictions, but for those that keep them for ever, or whose spec cannot be read."""
    from penstock import loader

    kept = {}
    for name in loader.names(here.dags):
        try:
            declared = loader.load(name, here.dags).function.keep_log
        except SpecError:
            print(
                f"the spec of {name} cannot be read (see penstock check): all that it logged is kept",
                file=sys.stderr,
            )
            continue
        if declared is not None:
            kept[name] = declared
    return kept


def show(answer: GcAnswer, console: Console) -> None:
    for each in answer.garbage:
        console.print(f"{each.kind} {each.path} [dim]{styles.size(each.bytes)}[/]", soft_wrap=True)
    done = "removed" if answer.deleted else "found"
    console.print(f"{done} {len(answer.garbage)}, {styles.size(answer.bytes)}; {answer.kept} keys stay")
    if answer.garbage and not answer.deleted:
        console.print("nothing was changed; penstock gc --delete removes it")
