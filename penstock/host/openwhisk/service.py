"""What the API does: namespaces and what they hold, changed one change after another, and activations of it."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from penstock.durable import says_no_room
from penstock.host.background import Background
from penstock.host.errors import HostError
from penstock.host.limits import Limits as HostLimits
from penstock.host.openwhisk.actions import Actions, key_of
from penstock.host.openwhisk.activations import Activations, Which
from penstock.host.openwhisk.entities import (
    KIND,
    MAX_CODE,
    MAX_PARAMETERS,
    Action,
    ActionContent,
    Exec,
    Limits,
    Package,
    PackageContent,
    updated,
)
from penstock.host.openwhisk.invoking import MAX_COMPONENTS, Invoker, Record, inner_path
from penstock.host.openwhisk.namespaces import Namespace, Namespaces
from penstock.host.pool import Pool
from penstock.host.state import StateFolder

#: Activations of one namespace at once.
MAX_CONCURRENT: Final = 256


class OpenWhisk:
    """All namespaces of one state folder. Its methods belong to the host's event loop."""

    def __init__(self, state: StateFolder, pool: Pool, limits: HostLimits, background: Background) -> None:
        self._state = StateFolder(state.root / "openwhisk", predictions=state.predictions)
        self._background = background
        self.namespaces = Namespaces(self._state.root / "namespaces")
        self._actions = Actions(self._state, pool, limits, background)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._running: Counter[str] = Counter()

    def open(self) -> None:
        """Take up what an earlier host left. Raises HostError where a file was damaged, and OSError."""
        self._state.open()
        self.namespaces.open()
        path = self._state.root / "activations.db"
        try:
            self._activations = Activations(path)
        except sqlite3.Error as error:
            said = f"{path}: {error}"
            if says_no_room(str(error)):
                raise HostError(
                    507, f"no room left while opening {said}", next_step="free disk space"
                ) from error
            raise HostError(
                500, f"cannot open {said}", next_step="move it away: the records of activations go with it"
            ) from error
        self._actions.open(
            {
                key_of(namespace.name, path): action
                for namespace in self.namespaces.all()
                for path, action in namespace.actions.items()
                if action.revision is not None
            }
        )
        self._invoker = Invoker(self._actions, self._activations, self._namespace)

    async def close(self) -> None:
        """End all processes."""
        await self._actions.close()
        self._activations.close()

    def limits(self) -> dict[str, object]:
        """What a namespace may have, as `/limits` tells it."""
        bounds = Limits.model_json_schema()["properties"]
        return {
            "concurrentInvocations": MAX_CONCURRENT,
            "allowedKinds": [KIND],
            "storeActivations": True,
            "maxParameterSize": f"{MAX_PARAMETERS} B",
            **{
                f"{end}Action{name.capitalize()}": bounds[name][f"{end}imum"]
                for name in bounds
                for end in ("min", "max")
            },
        }

    # -- namespaces ---------------------------------------------------------------------------------------------

    async def issue(self, name: str) -> str:
        """A new key for a namespace, which is made where there is none. Raises OSError."""
        async with self._locks[name]:
            return await asyncio.to_thread(self.namespaces.issue, name)

    async def remove_namespace(self, name: str) -> None:
        """Take it away with all that it holds. Raises HostError (404)."""
        async with self._locks[name]:
            removed = await asyncio.to_thread(self.namespaces.remove, name)
            if removed is None:
                raise HostError(404, f"there is no namespace {name}")
            for path in removed.actions:
                await self._actions.remove(key_of(name, path))
            await asyncio.to_thread(self._activations.forget, name)

    def _namespace(self, name: str) -> Namespace:
        return self.namespaces.get(name) or Namespace(name=name, identity="", secret_sha256="")

    # -- what they hold -----------------------------------------------------------------------------------------

    async def put_package(
        self, namespace: str, name: str, content: PackageContent, *, overwrite: bool
    ) -> Package:
        """Make a package, or change what is given of one. Raises HostError (400, 409, 413) and OSError."""
        if content.binding:
            raise HostError(400, "A package cannot be bound to another one on this host.")
        async with self._locks[namespace]:
            held = self._held(namespace)
            before = held.packages.get(name)
            _may_write(before, overwrite)
            before = before or Package(name=name)
            put = before.model_copy(update=updated(before, content))
            await self._save(held, packages={**held.packages, name: put})
            return put

    async def remove_package(self, namespace: str, name: str, *, force: bool) -> Package:
        """Take a package away. Raises HostError: 404, 409 where it holds actions, unless they go as well."""
        async with self._locks[namespace]:
            held = self._held(namespace)
            if name not in held.packages:
                raise HostError(404, "The requested resource does not exist.")
            inside = [path for path, action in held.actions.items() if action.package == name]
            if inside and not force:
                raise HostError(
                    409,
                    f"Package not empty (contains {len(inside)} entities). Set force param or delete package contents.",
                )
            packages, actions = dict(held.packages), dict(held.actions)
            removed = packages.pop(name)
            for path in inside:
                del actions[path]
            await self._save(held, packages=packages, actions=actions)
            for path in inside:
                await self._actions.remove(key_of(namespace, path))
            return removed

    async def put_action(
        self, namespace: str, name: str, package: str | None, content: ActionContent, *, overwrite: bool
    ) -> Action:
        """Make an action, or change what is given of one. Raises HostError (400, 404, 409, 413) and OSError."""
        async with self._locks[namespace]:
            held = self._held(namespace)
            if package is not None and package not in held.packages:
                raise HostError(404, "The requested resource does not exist.")
            action = Action(name=name, package=package)
            before = held.actions.get(action.path)
            _may_write(before, overwrite)
            if before is None and content.exec is None:
                raise HostError(400, "exec undefined")
            action = before or action
            changes = updated(action, content)
            if content.limits is not None:
                changes["limits"] = _limits(action.limits, content.limits)
            key = key_of(namespace, action.path)
            if content.exec is not None:
                changes |= await self._executed(held, key, action.path, content.exec)
            action = action.model_copy(update=changes)
            await self._save(held, actions={**held.actions, action.path: action})
            if action.revision is None:
                await self._actions.remove(key)
            else:
                self._actions.take_up(key, action)
                await self._actions.settle(key, action)
            return action

    async def remove_action(self, namespace: str, path: str) -> Action:
        """Take an action away. Raises HostError (404)."""
        async with self._locks[namespace]:
            held = self._held(namespace)
            actions = dict(held.actions)
            if path not in actions:
                raise HostError(404, "The requested resource does not exist.")
            removed = actions.pop(path)
            await self._save(held, actions=actions)
            await self._actions.remove(key_of(namespace, path))
            return removed

    async def _executed(self, held: Namespace, key: str, path: str, given: Exec) -> dict[str, Any]:
        """What an action runs, once its package is on disk, or its components are known."""
        if given.kind == "sequence":
            components = _components(held, path, given.components or [])
            return {"components": components, "revision": None, "image": None}
        if not given.code or not given.binary:
            raise HostError(
                400, "exec.code must be a function package as a zip in base64, with exec.binary true"
            )
        if len(given.code) > MAX_CODE:
            raise HostError(413, f"The code has {len(given.code)} bytes, and at most {MAX_CODE} are taken")
        try:
            code = await asyncio.to_thread(base64.b64decode, given.code, validate=True)
        except ValueError as error:
            raise HostError(400, f"exec.code is not base64: {error}") from error
        try:
            revision = await self._actions.store(key, code)
        except HostError as error:
            status = 400 if error.status == 422 else error.status
            raise HostError(status, f"exec.code: {error.message}", next_step=error.next_step) from error
        return {"revision": revision, "image": given.image, "components": None}

    def _held(self, name: str) -> Namespace:
        """The namespace as it is by now: it may be gone. Raises HostError (401)."""
        found = self.namespaces.get(name)
        if found is None:
            raise HostError(401, "The supplied authentication is invalid.")
        return found

    async def _save(self, held: Namespace, **changes: Mapping[str, object]) -> None:
        await asyncio.to_thread(self.namespaces.save, held.model_copy(update=changes))

    async def code(self, namespace: str, action: Action) -> str:
        """The package of an action that has one, as a zip in base64."""
        assert action.revision is not None
        return await self._actions.code(key_of(namespace, action.path), action.revision)

    # -- activations --------------------------------------------------------------------------------------------

    async def invoke(
        self, namespace: str, action: Action, value: Mapping[str, Any], number: str, patience: float
    ) -> Record | None:
        """Begin activation `number` of an action; its record, or None where it has not ended after `patience` s.

        It goes on then, and where whoever asked has gone. Raises HostError (429).
        """
        if self._running[namespace] >= MAX_CONCURRENT:
            raise HostError(
                429,
                f"Too many concurrent requests in flight (count: {self._running[namespace]}, allowed: {MAX_CONCURRENT}).",
            )
        self._running[namespace] += 1
        task = self._background.spawn(self._invoker.activate(namespace, action, value, number))
        task.add_done_callback(lambda _: self._running.subtract((namespace,)))
        if not patience:
            return None
        done, _ = await asyncio.wait({task}, timeout=patience)
        return task.result() if done else None

    async def record(self, namespace: str, number: str) -> Record | None:
        """The record of an activation; None where there is none."""
        return await asyncio.to_thread(self._activations.record, namespace, number)

    async def find(self, namespace: str, which: Which) -> list[Record]:
        """The records of some."""
        return await asyncio.to_thread(self._activations.find, namespace, which)

    async def count(self, namespace: str, which: Which) -> int:
        """How many there are."""
        return await asyncio.to_thread(self._activations.count, namespace, which)


def _may_write(before: object | None, overwrite: bool) -> None:
    if before is not None and not overwrite:
        raise HostError(409, "resource already exists")


def _limits(before: Limits, given: Mapping[str, Any]) -> Limits:
    try:
        return Limits.model_validate({**before.model_dump(), **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise HostError(400, f"limits.{first['loc'][0]} is {first['input']!r}: {first['msg']}") from error


def _components(held: Namespace, path: str, given: list[str]) -> list[str]:
    """The components of the sequence at `path`, with the namespace by its name. Raises HostError (400, 403)."""
    if not given:
        raise HostError(400, "No component specified for the sequence.")
    components = []
    for each in given:
        start, namespace, inner = (*each.split("/", 2), "", "")[:3]
        if start or not inner:
            raise HostError(
                400, f"The component {each[:300]!r} is no full name: expected /namespace/package/action"
            )
        if namespace not in ("_", held.name):
            raise HostError(403, "The supplied authentication is not authorized to access this resource.")
        components.append(f"/{held.name}/{inner}")
    waiting, count = list(components), 0
    while waiting:
        inner, count = inner_path(waiting.pop()), count + 1
        found = held.actions.get(inner)
        if inner == path:
            raise HostError(400, "Sequence may not refer to itself.")
        if found is None:
            raise HostError(400, "Sequence component does not exist.")
        if count > MAX_COMPONENTS:
            raise HostError(400, f"Too many actions in the sequence: {MAX_COMPONENTS} are allowed.")
        waiting += found.components or ()
    return components
