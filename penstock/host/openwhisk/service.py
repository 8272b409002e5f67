"""What the API does: namespaces and what they hold, changed one change after another, and activations of it."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import uuid
from collections import Counter
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
    MAX_TIMEOUT,
    Action,
    ActionContent,
    Exec,
    Limits,
    Package,
    PackageContent,
    inner_path,
    resolved,
    updated,
)
from penstock.host.openwhisk.invoking import MAX_COMPONENTS, Invoker, Record
from penstock.host.openwhisk.namespaces import MISSING, Namespace, Namespaces, without
from penstock.host.openwhisk.triggers import Triggers
from penstock.host.pool import Pool
from penstock.host.state import StateFolder

#: Activations of one namespace at once.
MAX_CONCURRENT: Final = 256
#: Seconds that a caller waits for the end of one at most.
BLOCKING: Final = 60.0
#: The header with an activation's number.
ACTIVATION_ID: Final = "x-openwhisk-activation-id"


class OpenWhisk:
    """All namespaces of one state folder. Its methods belong to the host's event loop."""

    def __init__(self, state: StateFolder, pool: Pool, limits: HostLimits, background: Background) -> None:
        self._state = StateFolder(state.root / "openwhisk", predictions=state.predictions)
        self._background = background
        self.namespaces = Namespaces(self._state.root / "namespaces")
        self._actions = Actions(self._state, pool, limits, background)
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
        self.triggers = Triggers(self.namespaces, self._invoker, self.invoke)

    async def close(self) -> None:
        """End all processes."""
        await self._actions.close()
        self._activations.close()

    def limits(self) -> dict[str, object]:
        """What a namespace may have, as `/limits` tells it."""
        bounds = Limits.model_json_schema()["properties"]
        return {
            "concurrentInvocations": MAX_CONCURRENT,
            "allowedKinds": [KIND, "sequence"],
            "storeActivations": True,
            "maxParameterSize": f"{MAX_PARAMETERS} B",
            **{
                f"{end}Action{name.capitalize()}": bounds[name][f"{end}imum"]
                for name in bounds
                for end in ("min", "max")
            },
            "maxActionTimeout": MAX_TIMEOUT,
        }

    # -- namespaces ---------------------------------------------------------------------------------------------

    async def issue(self, name: str) -> str:
        """A new key for a namespace, which is made where there is none. Raises OSError."""
        async with self.namespaces.alone(name):
            if self.namespaces.get(name) is None:
                # Of one of that name that was: an activation may have ended after it was removed.
                await asyncio.to_thread(self._activations.forget, name)
            return await asyncio.to_thread(self.namespaces.issue, name)

    async def remove_namespace(self, name: str) -> None:
        """Take it away with all that it holds. Raises HostError (404)."""
        async with self.namespaces.alone(name):
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
        if name == "default":  # in the path of a web action it stands for none
            raise HostError(400, "Package name is reserved.")
        async with self.namespaces.changing(namespace) as held:
            held.may_put("packages", name, overwrite=overwrite)
            before = held.packages.get(name, Package(name=name))
            put = before.model_copy(update=updated(before, content))
            await self.namespaces.change(held, packages={**held.packages, name: put})
            return put

    async def remove_package(self, namespace: str, name: str, *, force: bool) -> Package:
        """Take a package away. Raises HostError: 404, 409 where it holds actions, unless they go as well."""
        async with self.namespaces.changing(namespace) as held:
            removed, packages = without(held.packages, name)
            inside = [path for path, action in held.actions.items() if action.package == name]
            if inside and not force:
                raise HostError(
                    409,
                    f"Package not empty (contains {len(inside)} entities). Set force param or delete package contents.",
                )
            actions = dict(held.actions)
            for path in inside:
                del actions[path]
            await self.namespaces.change(held, packages=packages, actions=actions)
            for path in inside:
                await self._actions.remove(key_of(namespace, path))
            return removed

    async def put_action(
        self, namespace: str, name: str, package: str | None, content: ActionContent, *, overwrite: bool
    ) -> Action:
        """Make an action, or change what is given of one. Raises HostError (400, 404, 409, 413) and OSError."""
        async with self.namespaces.changing(namespace) as held:
            if package is not None and package not in held.packages:
                raise HostError(404, MISSING)
            action = Action(name=name, package=package)
            held.may_put("actions", action.path, overwrite=overwrite)
            before = held.actions.get(action.path)
            if before is None and content.exec is None:
                raise HostError(400, "exec undefined")
            action = (before or action).without_annotations(content.delAnnotations)
            changes = updated(action, content)
            if content.limits is not None:
                changes["limits"] = _limits(action.limits, content.limits)
            key = key_of(namespace, action.path)
            if content.exec is not None:
                changes |= await self._executed(held, key, action.path, content.exec)
            action = action.model_copy(update=changes)
            await self.namespaces.change(held, actions={**held.actions, action.path: action})
            if action.revision is None:
                await self._actions.remove(key)
            else:
                self._actions.take_up(key, action)
                await self._actions.settle(key, action)
            return action

    async def remove_action(self, namespace: str, path: str) -> Action:
        """Take an action away. Raises HostError (404)."""
        async with self.namespaces.changing(namespace) as held:
            removed, actions = without(held.actions, path)
            await self.namespaces.change(held, actions=actions)
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

    async def code(self, namespace: str, action: Action) -> str:
        """The package of an action that has one, as a zip in base64."""
        assert action.revision is not None
        return await self._actions.code(key_of(namespace, action.path), action.revision)

    # -- activations --------------------------------------------------------------------------------------------

    async def invoke(
        self, namespace: str, action: Action, value: Mapping[str, Any], patience: float
    ) -> tuple[str, Record | None]:
        """Begin an activation of an action; its number, and its record, or None where it has not ended after `patience` s.

        It goes on then, and where whoever asked has gone. Raises HostError (429).
        """
        if self._running[namespace] >= MAX_CONCURRENT:
            raise HostError(
                429,
                f"Too many concurrent requests in flight (count: {self._running[namespace]}, allowed: {MAX_CONCURRENT}).",
            )
        self._running[namespace] += 1
        number = uuid.uuid4().hex
        task = self._background.spawn(self._invoker.activate(namespace, action, value, number))
        task.add_done_callback(lambda _: self._running.subtract((namespace,)))
        if not patience:
            return number, None
        done, _ = await asyncio.wait({task}, timeout=patience)
        return number, task.result() if done else None

    async def record(self, namespace: str, number: str) -> Record | None:
        """The record of an activation; None where there is none."""
        return await asyncio.to_thread(self._activations.record, namespace, number)

    async def find(self, namespace: str, which: Which) -> list[Record]:
        """The records of some."""
        return await asyncio.to_thread(self._activations.find, namespace, which)

    async def count(self, namespace: str, which: Which) -> int:
        """How many there are."""
        return await asyncio.to_thread(self._activations.count, namespace, which)


def _limits(before: Limits, given: Mapping[str, Any]) -> Limits:
    try:
        found = Limits.model_validate({**before.model_dump(), **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise HostError(400, f"limits.{first['loc'][0]} is {first['input']!r}: {first['msg']}") from error
    if "timeout" in given and found.timeout > MAX_TIMEOUT:
        raise HostError(400, f"limits.timeout is {found.timeout}: Input should be at most {MAX_TIMEOUT}")
    return found


def _components(held: Namespace, path: str, given: list[str]) -> list[str]:
    """The components of the sequence at `path`, with the namespace by its name. Raises HostError (400, 403)."""
    if not given:
        raise HostError(400, "No component specified for the sequence.")
    components = [f"/{held.name}/{resolved(held.name, each)}" for each in given]
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
