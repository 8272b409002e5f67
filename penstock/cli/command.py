"""How every command is made: it returns one answer, and gets `--json` and `--debug` from here."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, ParamSpec, TypeVar

import typer

from penstock.cli.answers import Answer

if TYPE_CHECKING:
    from rich.console import Console

_P = ParamSpec("_P")
_A = TypeVar("_A", bound=Answer)

DEBUG = "PENSTOCK_DEBUG"
_Json = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document on stdout.")]
_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", hidden=True)]
#: The answer's type of each command, by the command's name: what `penstock schema COMMAND` prints.
ANSWERS: dict[str, Any] = {}


@dataclass(frozen=True)
class Reply(Generic[_A]):
    """An answer, how people see it, and whether a program asked."""

    answer: _A
    show: Callable[[_A, Console], None]
    json: bool


def command(
    app: typer.Typer, name: str, show: Callable[[_A, Console], None], *, family: str = "", **settings: Any
) -> Callable[[Callable[_P, _A]], Callable[_P, _A]]:
    """Make a function a command of `app`. `show` prints its answer for people; its return type is its schema.

    `family`: the word before its name, where `app` is a group of commands.
    """

    def decorate(function: Callable[_P, _A]) -> Callable[_P, _A]:
        signature = inspect.signature(function, eval_str=True)
        ANSWERS[f"{family} {name}".strip()] = signature.return_annotation

        @functools.wraps(function)
        def reply(*arguments: Any, json: bool, debug: bool, **options: Any) -> Reply[_A]:
            if debug:
                os.environ[DEBUG] = "1"
            return Reply(function(*arguments, **options), show, json)

        own = [
            inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Json),
            inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Debug),
        ]
        parameters = [*signature.parameters.values(), *own]
        # Typer reads a command's options from these two.
        reply.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        reply.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(name, **settings)(reply)
        return function

    return decorate
