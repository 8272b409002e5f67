"""`penstock status`: how the pipelines stand; works when Airflow and the function host are down."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project, styles
from penstock.cli.answers import ChampionAnswer, GateAnswer, LastRunAnswer, PipelineAnswer, StatusAnswer
from penstock.cli.command import command
from penstock.cli.rollout import in_words
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console

    from penstock import Pipeline
    from penstock.record import Record, Runs
    from penstock.registry import Registry
    from penstock.rollout.record import RolloutStatus
    from penstock.settings import Settings
    from penstock.targets import Activity, Status


def add_to(app: typer.Typer) -> None:
    command(app, "status", show)(status)


def status(
    name: Annotated[str | None, typer.Argument(help="One pipeline; all without it.")] = None,
) -> StatusAnswer:
    """Show what serves, since when, and how each pipeline's last run ended."""
    from penstock import services
    from penstock.registry import Registry

    here = project.settings()
    kept, registry = project.runs(here), Registry(here.mlflow_uri)
    # One whose folder is gone may still serve.
    known = sorted({*project.names(None, here), *kept.pipelines()})
    chosen = known if name is None else [name] if name in known else project.names(name, here)
    return StatusAnswer(
        airflow="running" if services.running(here) else "stopped",
        pipelines=[_pipeline(each, here, kept, registry) for each in chosen],
    )


def _pipeline(name: str, here: Settings, kept: Runs, registry: Registry) -> PipelineAnswer:
    declared: Pipeline | None = None
    fault = None
    try:
        declared = project.pipeline(name, here)
    except PenstockError as error:
        fault = str(error)
    live, target, activity = _live(name, declared, here)
    newest = next(iter(kept.all(name)), None)
    return PipelineAnswer(
        name=name,
        problem=declared.problem if declared else None,
        fault=fault,
        champion=_champion(name, registry),
        url=live.url if live else None,
        web=live.web if live else None,
        triggers=list(live.triggers) if live else [],
        activity=activity,
        serving=live.serving.version if live and live.serving else None,
        target=target,
        rollout=_rollout(live) if live else None,
        last_run=_last_run(newest, here) if newest else None,
    )


def _champion(name: str, registry: Registry) -> ChampionAnswer | None:
    from penstock.registry import PROMOTED_AT

    champion = registry.champion(name)
    if champion is None:
        return None
    since = champion.tags.get(PROMOTED_AT)
    return ChampionAnswer(
        version=champion.version,
        since=datetime.fromisoformat(since) if since else None,
        window_end=champion.window_end,
    )


def _live(name: str, declared: Pipeline | None, here: Settings) -> tuple[Status | None, str, Activity | None]:
    """The function on its target where one is live, how the target is, and what it was asked last where that is on record."""
    from penstock.spec.function import Function
    from penstock.targets import Recording, TargetError, open_target

    where = declared.function if declared else Function()
    function = declared.function_name if declared else name
    try:
        target = open_target(where, here.host_state)
        found = target.status(function)
        activity = target.activity(function) if isinstance(target, Recording) else None
    except TargetError as error:
        return None, "answers" if error.status == 404 else str(error), None
    return *_stands(name, found), activity


def _stands(name: str, found: Status) -> tuple[Status | None, str]:
    live = found.serving
    if live is None and found.live is not None:
        return None, f"{found.live} is live, and not all of it is there; to do: penstock reconcile {name}"
    if live is None:
        return None, "answers"
    if live.state == "idle" and live.error is None:
        return found, "idle"
    if live.state != "ready":
        return found, f"version {live.version} is {live.state}: {live.error or 'no reason given'}"
    if found.lost:
        return found, f"{'; '.join(found.lost)}; to do: penstock reconcile {name}"
    if found.differs:
        told = "; ".join(found.differs)
        return found, f"differs from the spec: {told}; to do: penstock reconcile {name}"
    return found, "answers"


def _rollout(live: Status) -> RolloutStatus | None:
    """The one in course, or how the last one ended, unless another version went live since: then it is history."""
    rollout = live.rollout
    if rollout is None or not rollout.over or rollout.revision == live.live:
        return rollout
    return rollout if live.since is None or live.since <= rollout.began else None


def _last_run(record: Record, here: Settings) -> LastRunAnswer:
    from penstock import local

    state = local.state(record, here)
    registered = record.entry("register")
    return LastRunAnswer(
        run=record.run.run,
        interval=record.run.interval,
        state=state,
        started=record.run.started,
        version=str(registered.summary["version"])
        if registered and "version" in registered.summary
        else None,
        why="the process that ran it is gone; run again: what was done is kept"
        if state == "interrupted"
        else _why(record),
        gates=[GateAnswer.of(entry.name, gate) for entry in record.entries for gate in entry.gates],
    )


def _why(record: Record) -> str:
    """A run's end in words: its first failure, else what the last stage that it came to said."""
    for entry in record.entries:
        if entry.failure is not None:
            return f"{entry.name}: {entry.failure}"
    if not record.entries:
        return "nothing has ended yet"
    last = record.entries[-1]
    if last.stage == "deploy" and last.state == "ran":
        return f"version {last.summary.get('version')} went live"
    return f"{last.name}: {last.why}"


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: StatusAnswer, console: Console) -> None:
    """A block a pipeline."""
    if not answer.pipelines:
        console.print("no pipelines yet; make one: penstock init NAME")
    for pipeline in answer.pipelines:
        _show(pipeline, console)
    if answer.airflow == "stopped":
        console.print(
            "[dim]Airflow is stopped (penstock up starts it); this comes from the registry and the store[/]"
        )


def _show(pipeline: PipelineAnswer, console: Console) -> None:
    from rich.markup import escape

    from penstock.cli import gates

    console.print(
        f"[bold]{pipeline.name}[/] {escape((pipeline.problem or '').splitlines()[0] if pipeline.problem else '')}"
    )
    if pipeline.fault:
        console.print(f"  [bold red]spec[/]      {escape(pipeline.fault)}", soft_wrap=True)
    champion = pipeline.champion
    if champion is None:
        console.print("  champion  none")
    else:
        since = f" since {champion.since:%Y-%m-%d %H:%M} UTC" if champion.since else ""
        until = f", data up to {champion.window_end:%Y-%m-%d}" if champion.window_end else ""
        console.print(f"  champion  version {champion.version}{since}{until}")
    if pipeline.url:
        idle = " [dim](at zero until it is asked)[/]" if pipeline.target == "idle" else ""
        console.print(f"  serves    version {pipeline.serving} at {pipeline.url}{idle}", soft_wrap=True)
    if pipeline.web:
        console.print(f"  web       {pipeline.web}", soft_wrap=True)
    for trigger in pipeline.triggers:
        state = "" if trigger.active else " [yellow]off[/]"
        fault = f" [yellow]last time: {escape(trigger.fault)}[/]" if trigger.fault else ""
        console.print(
            f"  trigger   {trigger.name} by {trigger.feed or 'whoever fires it'}{state}{fault}",
            soft_wrap=True,
        )
    if (asked := pipeline.activity) is not None:
        took = f"{asked.p50_ms:g} ms p50, {asked.p99_ms:g} ms p99"
        ended = f"{asked.failed} failed, {asked.refused} refused"
        console.print(f"  asked     {asked.requests} times since {asked.since[:19]} UTC: {ended}; {took}")
    rolled = pipeline.rollout
    # One that was promoted is history once the registry says so, too.
    promoting = rolled is not None and rolled.state == "promoted" and rolled.version == pipeline.serving
    if rolled and not promoting:
        console.print(f"  rollout   {escape(in_words(rolled))}", soft_wrap=True)
    if pipeline.target not in ("answers", "idle"):
        console.print(f"  target    [yellow]{escape(pipeline.target)}[/]", soft_wrap=True)
    if champion and pipeline.serving and champion.version != pipeline.serving:
        does = (
            f"enters that version {pipeline.serving} was promoted"
            if promoting
            else f"brings version {champion.version} live"
        )
        console.print(f"  [yellow]behind[/]    penstock reconcile {pipeline.name} {does}", soft_wrap=True)
    last = pipeline.last_run
    if last is None:
        console.print(f"  last run  none yet: penstock run {pipeline.name}")
        return
    version = f", version {last.version}" if last.version else ""
    console.print(
        f"  last run  {styles.state(last.state)} {last.run}, interval {last.interval}{version}",
        soft_wrap=True,
    )
    console.print(f"            {escape(last.why)}", soft_wrap=True)
    verdicts = [
        f"{gate.name} {gates.verdict(gate)}" for gate in last.gates if gate.name != "data" or not gate.passed
    ]
    if verdicts:
        console.print(f"  gates     {', '.join(verdicts)}", soft_wrap=True)
