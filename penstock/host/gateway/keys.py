"""The keys of a gateway's callers: each is shown once, and kept as a hash."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from penstock.durable import write_atomic
from penstock.host.errors import HostError
from penstock.host.gateway.rates import Rate
from penstock.host.hashed import digest, is_secret, new_secret

#: Names of keys.
KEY_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def _rate(given: object) -> Rate:
    return given if isinstance(given, Rate) else Rate.read(given if isinstance(given, str) else "")


#: A rate, in JSON and TOML as it is written.
WrittenRate = Annotated[
    Rate, PlainValidator(_rate, json_schema_input_type=str), PlainSerializer(str, return_type=str)
]


class Key(BaseModel):
    """What is kept of a key `name.secret`: of the secret its SHA-256 alone (`penstock.host.hashed`).

    `limit` holds for its caller in place of the gateway's own; `created` is in ISO 8601, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=f"^{KEY_NAME.pattern}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created: str
    limit: WrittenRate | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: list[Key] = []


class Keys:
    """All keys, in the file `path`. Writes raise OSError, and then nothing has changed."""

    def __init__(self, path: Path) -> None:
        """Read them. Raises HostError where the file was damaged from outside."""
        self._path = path
        try:
            kept = _File.model_validate_json(path.read_bytes()).keys
        except FileNotFoundError:
            kept = []
        except ValidationError as error:
            raise HostError(
                500,
                f"{path} does not hold the keys of a gateway: {error.errors()[0]['msg']}",
                next_step="mend it, or move it away: all keys go with it",
            ) from error
        self._all = {key.name: key for key in kept}

    def all(self) -> list[Key]:
        """Every key, sorted by name."""
        return [self._all[name] for name in sorted(self._all)]

    def create(self, name: str, limit: Rate | None = None) -> str:
        """A new key of that name. Raises HostError (409) where there is one: it stays as it is."""
        if name in self._all:
            raise HostError(
                409,
                f"there is a key {name} already",
                next_step="make one under another name, then revoke this one once its caller has the new one",
            )
        secret = new_secret()
        key = Key(name=name, sha256=digest(secret), created=_now(), limit=limit)
        self._save({**self._all, name: key})
        return f"{name}.{secret}"

    def revoke(self, name: str) -> None:
        """From now on it opens nothing. Raises HostError (404)."""
        if name not in self._all:
            raise HostError(
                404, f"there is no key {name}", next_step="GET /gateway/keys lists those there are"
            )
        self._save({other: key for other, key in self._all.items() if other != name})

    def owner(self, given: str) -> Key | None:
        """The key that was given, compared in constant time; None where there is no such one."""
        name, _, secret = given.partition(".")
        key = self._all.get(name)
        return key if is_secret(secret, None if key is None else key.sha256) else None

    def _save(self, keys: dict[str, Key]) -> None:
        self._path.parent.mkdir(exist_ok=True, mode=0o700)
        write_atomic(self._path, _File(keys=list(keys.values())).model_dump_json().encode())
        self._all = keys


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
