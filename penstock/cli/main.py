"""`penstock`: reads the command line, runs one command, prints its answer or one clear error."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import takewhile
from typing import IO, Annotated, Any, NoReturn

import typer

from penstock.cli import (
    airflow,
    check,
    explain,
    fit,
    gateway,
    gc,
    image,
    key,
    predict,
    remove,
    rollout,
    run,
    scaffold,
    schema,
    services,
    serving,
    status,
)  # fmt: skip
from penstock.cli.answers import Answer, ErrorAnswer, Fault
from penstock.cli.command import DEBUG, Reply
from penstock.errors import Interrupted, PenstockError, SpecError

app = typer.Typer(
    name="penstock",
    help="From a machine-learning problem and raw data to a live, watched function.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for family in (
    scaffold,
    check,
    run,
    status,
    explain,
    serving,
    rollout,
    predict,
    fit,
    gc,
    remove,
    image,
    key,
    gateway,
    services,
    airflow,
    schema,
):
    family.add_to(app)


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, in jobs too.")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its status (docs/exit-codes.md)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    wants_json = "--json" in takewhile(lambda argument: argument != "--", given)
    with _stdout(only_answer=wants_json) as stdout:
        sys.exit(_run(given, wants_json, stdout))


def _run(given: list[str], wants_json: bool, stdout: IO[str]) -> int:
    try:
        reply = app(given, prog_name="penstock", standalone_mode=False)
        if not isinstance(reply, Reply):  # help was printed, or a callback ended it: an exit status
            return int(reply or 0)
        _print(reply, stdout)
        return int(reply.answer.exit_status)
    except PenstockError as error:
        fault = Fault(kind=error.kind, message=error.message, next_step=error.next_step)
        return _fail(ErrorAnswer(error=fault, exit_code=error.exit_code), wants_json, stdout)
    except KeyboardInterrupt:
        fault = Fault(kind=Interrupted.kind, message="stopped by Ctrl-C", next_step=None)
        return _fail(ErrorAnswer(error=fault, exit_code=Interrupted.exit_code), wants_json, stdout)
    except typer.TyperException as error:
        command = " ".join(["penstock", *takewhile(str.isidentifier, given)])
        fault = Fault(
            kind="usage", message=error.format_message().rstrip("."), next_step=f"see {command} --help"
        )
        return _fail(ErrorAnswer(error=fault, exit_code=SpecError.exit_code), wants_json, stdout)
    except BrokenPipeError:
        # Whoever read our output has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        fault = Fault(
            kind="defect",
            message=f"{type(error).__name__}: {error}",
            next_step="this should not happen: run it again with --debug, and report what it prints",
        )
        return _fail(ErrorAnswer(error=fault, exit_code=1), wants_json, stdout)


def _fail(answer: ErrorAnswer, wants_json: bool, stdout: IO[str]) -> int:
    if os.environ.get(DEBUG):
        traceback.print_exc()
    error = answer.error
    print(f"error: {error.message}", file=sys.stderr)
    if error.next_step:
        print(f"To do: {error.next_step}", file=sys.stderr)
    if wants_json:
        _print_json(answer, stdout)
    return answer.exit_status


def _print(reply: Reply[Any], stdout: IO[str]) -> None:
    if reply.json:
        _print_json(reply.answer, stdout)
    else:
        from rich.console import Console

        reply.show(reply.answer, Console(file=stdout, highlight=False))


def _print_json(answer: Answer, stdout: IO[str]) -> None:
    print(answer.model_dump_json(indent=2), file=stdout, flush=True)


@contextmanager
def _stdout(*, only_answer: bool) -> Iterator[IO[str]]:
    """Where the answer goes. `only_answer`: whatever else anyone prints, children too, goes to stderr instead."""
    if not only_answer:
        yield sys.stdout
        return
    sys.stdout.flush()
    real = os.dup(1)
    try:
        os.dup2(2, 1)  # for children
        with os.fdopen(os.dup(real), "w", encoding="utf-8") as stdout, redirect_stdout(sys.stderr):
            yield stdout
    finally:
        os.dup2(real, 1)
        os.close(real)
