"""Named connections: a spec says `reference`, the URL (and its password) is kept outside of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from penstock.durable import write_atomic
from penstock.errors import PenstockError, SourceUnavailable

PREFIX = "PENSTOCK_CONN_"
_SAVED = TypeAdapter(dict[str, str])


def resolve(name: str, var: Path) -> str:
    """The SQLAlchemy URL of a connection: the variable PENSTOCK_CONN_<NAME>, else `var`/connections.json.

    Raises SourceUnavailable where neither names it, PenstockError where that file cannot be read.
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
    """Remember a connection for this machine, readable by its owner only.

    Raises PenstockError where the file of those before cannot be read; OSError where it cannot be written, and then
    it is as it was.
    """
    var.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_saved(var) | {name: url}, indent=1)
    write_atomic(_path(var), text.encode(), mode=0o600)


def _path(var: Path) -> Path:
    return var / "connections.json"


def _saved(var: Path) -> dict[str, str]:
    try:
        return _SAVED.validate_json(_path(var).read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError:
        # What pydantic says would quote the file, and so a password.
        raise PenstockError(
            f"{_path(var)} is not a JSON object of connection names and SQLAlchemy URLs",
            next_step="mend it, or remove it and save its connections again",
        ) from None
