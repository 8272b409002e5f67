"""The namespaces of a host, each a file with what it holds and the hash of its key."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from penstock.durable import write_atomic
from penstock.host.errors import HostError
from penstock.host.hashed import digest, is_secret, new_secret
from penstock.host.openwhisk.entities import Action, Entity, Package, Rule, Trigger

Kind = Literal["packages", "actions", "triggers", "rules"]
MISSING: Final = "The requested resource does not exist."
_E = TypeVar("_E", bound=Entity)


class Namespace(BaseModel):
    """One namespace: its key is `identity:secret`, of which only the secret's SHA-256 is kept (`penstock.host.hashed`).

    `packages`, `triggers` and `rules` by name, `actions` by path (`name` or `package/name`).
    """

    name: str
    identity: str
    secret_sha256: str
    packages: dict[str, Package] = {}
    actions: dict[str, Action] = {}
    triggers: dict[str, Trigger] = {}
    rules: dict[str, Rule] = {}

    def may_put(self, kind: Kind, path: str, *, overwrite: bool) -> None:
        """Raises HostError (409) where the entity is there, or one of another kind, as a name is that of one."""
        if any(path in getattr(self, other) for other in get_args(Kind) if other != kind):
            raise HostError(409, "Resource by this name exists but is not in this collection.")
        if path in getattr(self, kind) and not overwrite:
            raise HostError(409, "resource already exists")


def without(entities: Mapping[str, _E], path: str) -> tuple[_E, dict[str, _E]]:
    """An entity, and the others of its kind. Raises HostError (404)."""
    if path not in entities:
        raise HostError(404, MISSING)
    others = dict(entities)
    return others.pop(path), others


class Namespaces:
    """All of them, in the folder `root`. Writes raise OSError, and then nothing has changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._all: dict[str, Namespace] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def open(self) -> None:
        """Read them. Raises HostError where a file was damaged from outside."""
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(self._root.glob("*.json")):
            try:
                namespace = Namespace.model_validate_json(path.read_bytes())
            except ValidationError as error:
                raise HostError(
                    500,
                    f"{path} is not the record of a namespace: {error.errors()[0]['msg']}",
                    next_step="mend it, or move it away: its actions go with it",
                ) from error
            self._all[namespace.name] = namespace

    def names(self) -> list[str]:
        """Every namespace, sorted."""
        return sorted(self._all)

    def get(self, name: str) -> Namespace | None:
        """One of them, as it is now."""
        return self._all.get(name)

    def all(self) -> list[Namespace]:
        """Every namespace."""
        return list(self._all.values())

    def authenticated(self, identity: str, secret: str) -> Namespace | None:
        """The namespace whose key this is, compared in constant time."""
        found = next((each for each in self._all.values() if each.identity == identity), None)
        return found if is_secret(secret, None if found is None else found.secret_sha256) else None

    def alone(self, name: str) -> asyncio.Lock:
        """What whoever changes the namespace holds meanwhile."""
        return self._locks[name]

    @asynccontextmanager
    async def changing(self, name: str) -> AsyncIterator[Namespace]:
        """The namespace, which nobody else changes meanwhile. Raises HostError (401) where it is gone by now."""
        async with self.alone(name):
            found = self._all.get(name)
            if found is None:
                raise HostError(401, "The supplied authentication is invalid.")
            yield found

    async def change(self, held: Namespace, **changes: Mapping[str, object]) -> None:
        """Write a namespace with these of its parts otherwise."""
        await asyncio.to_thread(self.save, held.model_copy(update=changes))

    def issue(self, name: str) -> str:
        """A new key for the namespace, which is made where there is none; an earlier key is one no longer."""
        identity, secret = str(uuid.uuid4()), new_secret()
        kept = digest(secret)
        before = self._all.get(name) or Namespace(name=name, identity=identity, secret_sha256=kept)
        self.save(before.model_copy(update={"identity": identity, "secret_sha256": kept}))
        return f"{identity}:{secret}"

    def save(self, namespace: Namespace) -> None:
        """Write it, then hold it."""
        write_atomic(self._path(namespace.name), namespace.model_dump_json().encode())
        self._all[namespace.name] = namespace

    def remove(self, name: str) -> Namespace | None:
        """Take it away; what it held, None where there is none of that name."""
        self._path(name).unlink(missing_ok=True)
        return self._all.pop(name, None)

    def _path(self, name: str) -> Path:
        return self._root / f"{name}.json"
