"""`penstock gateway`: the keys that open the function host's gateway, and its file, read again (docs/gateway.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli import project
from penstock.cli.answers import (
    GatewayKey,
    GatewayKeysAnswer,
    GatewayRoutesAnswer,
    NewGatewayKeyAnswer,
    RevokedGatewayKeyAnswer,
)
from penstock.cli.command import command

if TYPE_CHECKING:
    from rich.console import Console

    from penstock.targets.embedded import EmbeddedTarget

_Name = Annotated[str, typer.Argument(help="The key's name: lower-case letters, digits and -.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="The gateway of the function host.", no_args_is_help=True)
    keys = typer.Typer(help="Keys that open it.", no_args_is_help=True)
    command(keys, "create", show_new, family="gateway key")(create)
    command(keys, "list", show_keys, family="gateway key")(list_keys)
    command(keys, "revoke", show_revoked, family="gateway key")(revoke)
    group.add_typer(keys, name="key")
    command(group, "reload", show_routes, family="gateway")(reload)
    app.add_typer(group, name="gateway")


def create(
    name: _Name,
    limit: Annotated[
        str | None,
        typer.Option(
            help="Such as 600/minute, over all routes. Default: what gateway.toml gives each caller."
        ),
    ] = None,
) -> NewGatewayKeyAnswer:
    """Make a key, and show it this once: the host keeps a hash."""
    made = _host().administer("PUT", f"/gateway/keys/{_quoted(name)}", json={"limit": limit}).json()
    return NewGatewayKeyAnswer(name=made["name"], key=made["key"])


def list_keys() -> GatewayKeysAnswer:
    """List the keys: names, limits and since when, never the keys themselves."""
    found = _host().administer("GET", "/gateway/keys").json()["keys"]
    return GatewayKeysAnswer(keys=[GatewayKey.model_validate(each) for each in found])


def revoke(name: _Name) -> RevokedGatewayKeyAnswer:
    """Have a key open nothing from now on."""
    _host().administer("DELETE", f"/gateway/keys/{_quoted(name)}")
    return RevokedGatewayKeyAnswer(name=name)


def reload() -> GatewayRoutesAnswer:
    """Have the host read gateway.toml again; where that is wrong, all faults are named and what held before holds on."""
    return GatewayRoutesAnswer(routes=_host().administer("POST", "/gateway/reload").json()["routes"])


def _host() -> EmbeddedTarget:
    from penstock.spec.function import Function
    from penstock.targets.embedded import open_embedded

    return open_embedded(Function(), project.settings().host_state)


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


# -- for people -----------------------------------------------------------------------------------------------


def show_new(answer: NewGatewayKeyAnswer, console: Console) -> None:
    console.print(f"{answer.name}: this key is shown once", soft_wrap=True, highlight=False)
    console.print(answer.key, soft_wrap=True, highlight=False)


def show_keys(answer: GatewayKeysAnswer, console: Console) -> None:
    for key in answer.keys:
        limit = f", {key.limit}" if key.limit else ""
        console.print(f"{key.name}{limit}, since {key.created}", soft_wrap=True, highlight=False)
    if not answer.keys:
        console.print("no keys; penstock gateway key create NAME makes one")


def show_revoked(answer: RevokedGatewayKeyAnswer, console: Console) -> None:
    console.print(f"{answer.name} opens nothing any more", highlight=False)


def show_routes(answer: GatewayRoutesAnswer, console: Console) -> None:
    for path in answer.routes:
        console.print(path, soft_wrap=True, highlight=False)
    if not answer.routes:
        console.print("nothing is open")
