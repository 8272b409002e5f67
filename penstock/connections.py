"""Named connections: a spec says `reference`, the URL (and its password) is kept outside of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from penstock.errors import SourceUnavailable

PREFIX = "PENSTOCK_CONN_"


def resolve(name: str, var: Path) -> str:
    """The SQLAlchemy URL of a connection: the variable PENSTOCK_CONN_<NAME>, else `var`/connections.json.

    Raises SourceUnavailable where neither names it.
    """
    if url := os.environ.get(PREFIX + name.upper()):
        return url
    known = _saved(var)
    if name in known:
        return known[name]
    raise SourceUnavailable(
        f"connection {name!r} is not known here (known: {', '.join(sorted(known)) or 'none'})",
        next_step=f"set {PREFIX}{name.upper()} to its SQLAlchemy URL, or add it as an Airflow connection",
    )


def save(name: str, url: str, var: Path) -> None:
    """Remember a connection for this machine, readable by its owner only."""
    var.mkdir(parents=True, exist_ok=True)
    path = var / "connections.json"
    text = json.dumps(_saved(var) | {name: url}, indent=1)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _saved(var: Path) -> dict[str, str]:
    path = var / "connections.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}
