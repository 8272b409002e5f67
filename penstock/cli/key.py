"""`penstock key`: the pair of keys by which function packages are signed, and known as signed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.answers import KeyAnswer
from penstock.cli.command import command
from penstock.errors import PenstockError
from penstock.signatures import PUBLIC_KEYS, SIGNING_KEY, generate

if TYPE_CHECKING:
    from rich.console import Console


def add_to(app: typer.Typer) -> None:
    command(app, "key", show)(key)


def key(
    file: Annotated[
        Path, typer.Argument(help="The new file of the private key; FILE.pub will hold the public one.")
    ],
) -> KeyAnswer:
    """Make a pair of keys: packages are signed with the private one, and trusted by the public one."""
    private, public = generate()
    beside = file.with_name(f"{file.name}.pub")
    try:
        _write(file, private, 0o600)
        _write(beside, public, 0o644)
    except OSError as error:
        raise PenstockError(
            f"{error.filename} cannot be written: {error.strerror}",
            next_step="name a new file in a folder that is there: a key is never overwritten",
        ) from error
    return KeyAnswer(private_file=str(file), public_file=str(beside), public_key=public)


def _write(path: Path, text: str, mode: int) -> None:
    with open(path, "x", encoding="ascii", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(f"{text}\n")


# -- for people -----------------------------------------------------------------------------------------------


def show(answer: KeyAnswer, console: Console) -> None:
    console.print(
        f"{answer.private_file}: the private key, {SIGNING_KEY} of who registers models", soft_wrap=True
    )
    console.print(
        f"{answer.public_file}: the public key, {PUBLIC_KEYS} of who deploys and serves them", soft_wrap=True
    )
    console.print(answer.public_key, soft_wrap=True)
