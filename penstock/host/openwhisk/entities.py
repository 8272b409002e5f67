"""What a namespace holds, as OpenWhisk has it: packages, actions whose code is a function package, or sequences; triggers and rules.

The protocol: https://github.com/apache/openwhisk/blob/master/core/controller/src/main/resources/apiv1swagger.json
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from penstock.host.errors import HostError

#: Of entities: https://github.com/apache/openwhisk/blob/master/docs/reference.md
NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_@ .&-]{0,254}[A-Za-z0-9_@.&-])?")
#: What a function package is to OpenWhisk: code for an image of one's own.
KIND: Final = "blackbox"
#: OpenWhisk's own bounds, in bytes.
MAX_CODE: Final = 48 * 2**20
MAX_PARAMETERS: Final = 2**20
#: Of an activation, in milliseconds: what the runtime takes for an answer.
MAX_TIMEOUT: Final = 60_000

_VERSION = r"^\d{1,9}\.\d{1,9}\.\d{1,9}$"


def parsed(text: bytes) -> Any:
    """The value of a JSON text, which can be written as one again: no number is infinite or none, and no string half a character.

    Raises ValueError.
    """
    try:
        return written(json.loads(text, parse_constant=_no_number))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def written(value: Any) -> Any:
    """A value that can be written as JSON. Raises ValueError where it cannot."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"it has half a character: {error.reason}") from error
    return value


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


class KeyValue(BaseModel):
    """One parameter or annotation."""

    key: str
    value: Annotated[Any, AfterValidator(written)] = None


class Limits(BaseModel):
    """Of one activation: `timeout` in ms, `memory` in MB, `logs` in MB."""

    model_config = ConfigDict(frozen=True)

    timeout: int = Field(default=60_000, ge=100, le=300_000)  # an earlier release took as much as OpenWhisk
    memory: int = Field(default=256, ge=128, le=2048)
    logs: int = Field(default=10, ge=0, le=10)


class Entity(BaseModel):
    """What all have alike; `updated` in ms since the epoch. A rule has no parameters."""

    name: str
    version: str = "0.0.0"
    publish: bool = False
    annotations: list[KeyValue] = []
    parameters: list[KeyValue] = []
    updated: int = 0


class Package(Entity):
    """A group of actions, with parameters that all of them get."""


class Trigger(Entity):
    """A kind of event, with parameters that each of them has."""


class Rule(Entity):
    """Asks an action (its path) whenever a trigger (its name) is fired, while it is active."""

    trigger: str
    action: str
    status: Literal["active", "inactive"] = "active"


class Action(Entity):
    """Either code, of which `revision` is the function package's, or a sequence of `components` (`/namespace/package/name`)."""

    package: str | None = None
    limits: Limits = Limits()
    image: str | None = None
    revision: str | None = None
    components: list[str] | None = None

    @property
    def path(self) -> str:
        """Its name within its namespace."""
        return self.name if self.package is None else f"{self.package}/{self.name}"

    def without_annotations(self, keys: Collection[str]) -> Action:
        """The same, but for those."""
        kept = [each for each in self.annotations if each.key not in keys]
        return self.model_copy(update={"annotations": kept})


class Exec(BaseModel):
    """What an action runs."""

    kind: Literal["blackbox", "sequence"]
    code: str | None = None
    image: str | None = None
    binary: bool = False
    components: list[str] | None = None


class Content(BaseModel):
    """The body of a PUT: what is left out is as it was."""

    version: str | None = Field(default=None, pattern=_VERSION)
    publish: bool | None = None
    annotations: list[KeyValue] | None = None
    parameters: list[KeyValue] | None = None


class PackageContent(Content):
    """Of a package."""

    binding: dict[str, Any] | None = None


class ActionContent(Content):
    """Of an action; annotations to take away before others are merged."""

    exec: Exec | None = None
    limits: dict[str, Any] | None = None
    delAnnotations: list[str] = []


class RuleContent(Content):
    """Of a rule: full names (`/namespace/name`)."""

    parameters: None = None
    trigger: str | None = None
    action: str | None = None


class StatusContent(BaseModel):
    """What switches a rule on or off."""

    status: Literal["active", "inactive"]


def updated(before: Entity, content: Content) -> dict[str, Any]:
    """What a PUT changes of an entity: the patch version rises unless one is given; annotations of actions and packages are merged.

    Raises HostError (413) where parameters are too large.
    """
    changes: dict[str, Any] = {"updated": round(time.time() * 1000)}
    major, minor, patch = before.version.split(".")
    changes["version"] = content.version or f"{major}.{minor}.{int(patch) + 1}"
    if content.publish is not None:
        changes["publish"] = content.publish
    if content.annotations is not None:
        kept = before.annotations if isinstance(before, Action | Package) else []
        changes["annotations"] = list({each.key: each for each in [*kept, *content.annotations]}.values())
    if content.parameters is not None:
        size = sum(len(each.model_dump_json().encode()) for each in content.parameters)
        if size >= MAX_PARAMETERS:
            raise HostError(
                413, f"Parameters are too large: {size} bytes, and less than {MAX_PARAMETERS} are taken"
            )
        changes["parameters"] = content.parameters
    return changes


def merged(*given: Iterable[KeyValue]) -> dict[str, Any]:
    """Parameters by key; the later ones take precedence."""
    return {each.key: each.value for some in given for each in some}


def brief(namespace: str, entity: Entity) -> dict[str, Any]:
    """An entity as it stands in a list."""
    inner = getattr(entity, "package", None)
    shown = {
        "namespace": namespace if inner is None else f"{namespace}/{inner}",
        "name": entity.name,
        "version": entity.version,
        "publish": entity.publish,
        "annotations": [each.model_dump() for each in entity.annotations],
        "updated": entity.updated,
    }
    if isinstance(entity, Rule):
        shown |= {"trigger": located(namespace, entity.trigger), "action": located(namespace, entity.action)}
    return shown


def whole(namespace: str, entity: Entity) -> dict[str, Any]:
    """An entity as a GET of it answers, but for an action's code, a package's actions and a trigger's rules."""
    if isinstance(entity, Rule):
        return brief(namespace, entity) | {"status": entity.status}
    shown = brief(namespace, entity) | {"parameters": [each.model_dump() for each in entity.parameters]}
    if isinstance(entity, Action):
        shown |= {"limits": entity.limits.model_dump(), "exec": _exec(entity)}
    if isinstance(entity, Package):
        shown |= {"binding": {}}
    if isinstance(entity, Trigger):
        shown |= {"limits": {}}
    return shown


def located(namespace: str, path: str) -> dict[str, str]:
    """Where an entity is, by its path in a namespace, as rules and triggers tell it."""
    package, _, name = f"{namespace}/{path}".rpartition("/")
    return {"path": package, "name": name}


def inner_path(full: str) -> str:
    """The path of `/namespace/path`."""
    return full.split("/", 2)[2]


def resolved(namespace: str, full: str) -> str:
    """The path of a full name in this namespace, by its name or `_`. Raises HostError (400, 403)."""
    start, owner, path = (*full.split("/", 2), "", "")[:3]
    if start or not path:
        raise HostError(400, f"{full[:300]!r} is no full name: expected /namespace/package/name")
    if owner not in ("_", namespace):
        raise HostError(403, "The supplied authentication is not authorized to access this resource.")
    return path


def _exec(action: Action) -> Mapping[str, Any]:
    if action.components is not None:
        return {"kind": "sequence", "components": action.components}
    return {"kind": KIND, "image": action.image, "binary": True}
