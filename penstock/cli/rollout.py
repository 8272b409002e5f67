"""`penstock rollout`: how a new version's rollout is, and what a person does to it; asks the function's target alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from penstock.cli import project
from penstock.cli.answers import RolloutAnswer
from penstock.cli.command import command
from penstock.rollout.record import Action

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.rollout.record import RolloutStatus, SideStatus

_Doing = Literal["status", Action]


def add_to(app: typer.Typer) -> None:
    command(app, "rollout", show)(rollout)


def rollout(
    name: Annotated[str, typer.Argument(help="The pipeline.")],
    doing: Annotated[
        _Doing,
        typer.Argument(
            metavar="[status|pause|resume|promote|abort]",
            help="promote gives the new version all traffic now, abort the old one; one that is paused stays at its step, "
            "and goes back all the same where it is worse.",
        ),
    ] = "status",
) -> RolloutAnswer:
    """Show a rollout, or steer it; works when Airflow is down."""
    function = project.function(name, project.settings())
    target = function.target
    found = target.take_step(function.name) if doing == "status" else target.steer(function.name, doing)
    serving = found.serving
    return RolloutAnswer(
        pipeline=name,
        function=function.name,
        serving=serving.version if serving else None,
        rollout=found.rollout,
    )


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: RolloutAnswer, console: Console) -> None:
    from rich.markup import escape

    if answer.rollout is None:
        console.print(f"{answer.pipeline}: no rollout yet; version {answer.serving or 'none'} serves")
        return
    console.print(f"{answer.pipeline}: {escape(in_words(answer.rollout))}", soft_wrap=True)
    if answer.rollout.state == "promoted":
        console.print(
            f"the run that deploys it makes it the champion; where that is gone: penstock reconcile {answer.pipeline}",
            soft_wrap=True,
        )


def in_words(rollout: RolloutStatus) -> str:
    """A rollout in a sentence."""
    if rollout.over:
        return f"the rollout of version {rollout.version} ended as {rollout.state}: {rollout.reason}"
    share = f"{rollout.share} %" if rollout.share else "the shadow"
    paused = ", paused" if rollout.state == "paused" else ""
    said = f"version {rollout.version} has {share} (stage {rollout.stage} of {rollout.stages}{paused})"
    if rollout.candidate is None or rollout.champion is None:
        return said
    own, other = (_side(side) for side in (rollout.candidate, rollout.champion))
    return (
        f"{said}: {rollout.candidate.requests:,} of at least {rollout.least:,} requests, {own}; "
        f"of the champion's {rollout.champion.requests:,} {other}"
    )


def _side(side: SideStatus) -> str:
    said = f"{side.errors:,} failed, {side.refusals:,} were refused"
    if side.p99 is not None:
        said += f", p99 {side.p99 * 1000:.3g} ms"
    if side.labels:
        said += f", {side.labels:,} labels"
    if side.loss is not None:
        said += f", mean loss {side.loss:.3g}"
    return said
