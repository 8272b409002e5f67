"""`penstock schema`: the JSON Schema of a pipeline's declaration, or of a command's --json answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.answers import SchemaAnswer
from penstock.cli.command import ANSWERS, command
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from rich.console import Console


def add_to(app: typer.Typer) -> None:
    command(app, "schema", show)(schema)


def schema(
    of: Annotated[
        str | None, typer.Argument(metavar="[COMMAND]", help="A command; the spec without it.")
    ] = None,
) -> SchemaAnswer:
    """Print the JSON Schema of a pipeline's declaration, or of what a command prints with --json."""
    if of is None:
        from penstock import Pipeline

        return SchemaAnswer(**Pipeline.model_json_schema())
    if of not in ANSWERS:
        raise PenstockError(
            f"there is no command {of!r}; commands: {', '.join(sorted(ANSWERS))}",
            next_step="name one of these",
        )
    return SchemaAnswer(**answer_schema(of))


def answer_schema(of: str) -> dict[str, Any]:
    """The JSON Schema of a command's answer."""
    from pydantic import TypeAdapter

    return TypeAdapter(ANSWERS[of]).json_schema(mode="serialization")


def show(answer: SchemaAnswer, console: Console) -> None:
    console.print(json.dumps(answer.model_dump(), indent=2, ensure_ascii=False), markup=False, soft_wrap=True)
