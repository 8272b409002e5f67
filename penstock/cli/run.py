"""`penstock run`: a pipeline's chain, here in this terminal or by Airflow."""

from __future__ import annotations

import json
import shlex
import signal
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project, styles
from penstock.cli.command import command
from penstock.cli.run_answers import RunAnswer, RunsAnswer
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.chain import Chain
    from penstock.intervals import Interval
    from penstock.record import Record, RunOptions


def add_to(app: typer.Typer) -> None:
    command(app, "run", show)(run)


def run(
    name: Annotated[str, typer.Argument(help="The pipeline: a folder of dags/.")],
    date: Annotated[
        str | None,
        typer.Option(help="A day within the data interval to run for. Default: the newest complete one."),
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", help="Run each interval from the one of this day on.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Up to the one of this day, included.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Start of the training window instead of the spec's.")
    ] = None,
    force: Annotated[
        str | None, typer.Option(help="Do this stage anew although nothing that it rests on changed.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1000,
            help="Parameter sets to try instead of the spec's; a grid tries all, and takes none.",
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="Why this run was made; kept in its record.")] = "",
    airflow: Annotated[bool, typer.Option("--airflow", help="Let Airflow run it, and follow.")] = False,
) -> RunAnswer | RunsAnswer:
    """Run a pipeline: collect, validate, features, train, register, validate_model, deploy."""
    from penstock.record import RunOptions

    here = project.settings()
    chain = project.chain(name, here)
    _check_stage(force)
    start = project.instant(since, "--since") if since else None
    options = RunOptions(force=force, trials=trials, note=note, since=start)
    chain.check(options)
    dates = _dates(chain, date, first, last)
    # A run ends its jobs before it ends, by whichever signal it is asked to.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    answers: list[RunAnswer] = []
    for interval in dates:
        record, log = (_by_airflow if airflow else _here)(chain, interval, options)
        answers.append(RunAnswer.of(record, log=log, curl=_curl(chain, record)))
        if answers[-1].exit_status:
            break
    return RunsAnswer(runs=answers) if first else answers[0]


def _here(chain: Chain, interval: Interval, options: RunOptions) -> tuple[Record, str | None]:
    from penstock import local
    from penstock.cli.watch import on_stderr

    with on_stderr() as watch:
        record = local.run(chain, interval, options, watch)
    return record, str(local.log_path(chain.settings, record.run.pipeline, record.run.run))


def _by_airflow(chain: Chain, interval: Interval, options: RunOptions) -> tuple[Record, str | None]:
    from penstock import airflow_client
    from penstock.cli.watch import on_stderr

    params = {
        "date": _day(interval),
        "since": _since(options.since),
        "force": options.force,
        "trials": options.trials,
        "note": options.note,
    }
    with on_stderr() as watch:
        return airflow_client.run(chain, params, watch), None


def _day(interval: Interval) -> str:
    """The day whose first moment lies in the interval: what the trigger form takes. Raises PenstockError."""
    start = interval.start
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight < start:
        midnight += timedelta(days=1)
    if midnight >= interval.end:
        raise PenstockError(
            f"Airflow's trigger form takes a day, and interval {interval} begins and ends within one",
            next_step="run it here (without --airflow), or let the schedule run it",
        )
    return f"{midnight:%Y-%m-%d}"


def _since(since: datetime | None) -> str | None:
    if since is not None and since.time() != time():
        raise PenstockError(
            f"Airflow's trigger form takes a day, and --since is {since:%Y-%m-%dT%H:%M}",
            next_step="write --since YYYY-MM-DD, or run it here (without --airflow)",
        )
    return f"{since:%Y-%m-%d}" if since else None


def _check_stage(force: str | None) -> None:
    from penstock.stages import STAGES

    if force is not None and force not in STAGES:
        raise PenstockError(
            f"--force is {force!r}: expected one of {', '.join(STAGES)}",
            next_step="name the stage to do anew",
        )


def _dates(chain: Chain, date: str | None, first: str | None, last: str | None) -> list[Interval]:
    """The intervals to run for, oldest first."""
    from penstock import intervals

    now = datetime.now(UTC)
    if (first is None) != (last is None) or (date and first):
        raise PenstockError(
            "--from and --to go together, and without --date",
            next_step="give --date D for one interval, or --from D --to D for several",
        )
    if first is None or last is None:
        asked = project.instant(date, "--date") if date else None
        return [intervals.resolve(chain.pipeline, now=now, asked=asked)]
    return intervals.between(
        chain.pipeline, project.instant(first, "--from"), project.instant(last, "--to"), now=now
    )


def _curl(chain: Chain, record: Record) -> str | None:
    """A request with a row of the holdout, ready to paste; None where the run's version does not serve."""
    from penstock.targets import TargetError

    deployed, registered = record.entry("deploy"), record.entry("register")
    if deployed is None or registered is None or "url" not in deployed.summary or not registered.items:
        return None
    samples = chain.store.read_json(f"{registered.items[0].path}/package/samples.json")
    if not samples or not samples["records"]:
        return None
    body = json.dumps(samples["records"][0], ensure_ascii=False)
    try:
        asking = chain.target.curl(deployed.summary["url"])
    except TargetError:  # the stages had what it takes to speak to the target, and this process has not
        return None
    return f"{asking} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: RunAnswer | RunsAnswer, console: Console) -> None:
    """Tables of stages and gates, then what to do next."""
    for each in answer.runs if isinstance(answer, RunsAnswer) else [answer]:
        _show(each, console)


def _show(run: RunAnswer, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from penstock.cli import gates

    stages = Table(title=f"{run.pipeline} {run.interval}", title_justify="left")
    for column in ("stage", "state", "seconds", "why"):
        stages.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
    for stage in run.stages:
        stages.add_row(stage.name, styles.state(stage.state), f"{stage.seconds:.1f}", escape(stage.why))
    console.print(stages)
    if run.gates:
        console.print(gates.table(run.gates))
    console.print(f"run {run.run} {styles.state(run.state)}", soft_wrap=True)
    if run.version:
        console.print(f"version {run.version}", soft_wrap=True)
    for gate in run.gates:
        if not gate.passed:
            to_do = f" To do: {gate.next_step}" if gate.next_step else ""
            console.print(f"[yellow]gate {gate.name}[/] {escape(gate.why)}.{escape(to_do)}", soft_wrap=True)
    if run.failure:
        console.print(f"[bold red]{escape(str(run.failure))}[/]", soft_wrap=True)
    if run.log and run.failure:
        console.print(f"log {run.log}", soft_wrap=True)
    if run.url:
        console.print(f"url {run.url}", soft_wrap=True)
    if run.curl:
        console.print(escape(run.curl), soft_wrap=True)
