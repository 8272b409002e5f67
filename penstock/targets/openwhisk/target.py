"""Functions as OpenWhisk's actions.

A revision is an action that never changes, `PACKAGE/NAME-REVISION`; the live name is a sequence of that one component,
`PACKAGE/NAME`. OpenWhisk invokes no older version of an action, and a new one of a sequence starts no container anew.
"""

from __future__ import annotations

import base64
import json
import os
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from penstock.host.manifest import MANIFEST
from penstock.targets import RevisionStatus, Status, TargetError
from penstock.targets.openwhisk.client import Activation, Limits, OpenWhisk
from penstock.targets.sending import as_json, zipped

#: Where the server is, the key `name:password` of a namespace, and the image of the runtime, which the server can pull.
URL: Final = "PENSTOCK_OPENWHISK_URL"
AUTH: Final = "PENSTOCK_OPENWHISK_AUTH"
IMAGE: Final = "PENSTOCK_OPENWHISK_IMAGE"
PACKAGE: Final = "PENSTOCK_OPENWHISK_PACKAGE"
_KIND: Final = "blackbox"
#: The server does not tell this bound of its own: https://github.com/apache/openwhisk/blob/master/docs/reference.md
_MAX_CODE: Final = 48 * 2**20
_MEMORY: Final = 256  # MB: a runtime of ONNX takes some 100, and the model comes on top
_TIMEOUT: Final = 60_000  # ms
#: What an action of ours is known again by.
_ABOUT: Final = "penstock"
#: Parameters that OpenWhisk or a web action puts in the place of the caller's own.
_TAKEN: Final = ("_actions", "__ow_")
#: A record that no function takes. Its refusal is the runtime's own, which has proved its package when it was initialised.
_NOTHING: Final[Mapping[str, Any]] = {}
#: Whose logs are read for the last lines of a function; their results come with them.
_ACTIVATIONS: Final = 50


class OpenWhiskTarget:
    """The functions of one package in one namespace."""

    def __init__(self, server: OpenWhisk, image: str, package: str) -> None:
        self._server = server
        self._image = image
        self._package = package

    def prepare(self) -> None:
        """See that the server answers this key, and that the package is there."""
        self._server.limits()
        self._server.make_package(self._package)

    def put(self, package: Path) -> str:
        """Make an action of the package in folder `package`; its revision, once it has proved itself. See `Target`."""
        manifest, revision, packed = zipped(package, zipfile.ZIP_DEFLATED)
        code = base64.b64encode(packed).decode()
        content = _action(self._server.limits(), self._image, code)
        _check_columns(package)
        about = {
            "function": manifest.name,
            "version": manifest.version,
            "revision": revision,
        }
        content["annotations"] = [{"key": _ABOUT, "value": about}, {"key": "provide-api-key", "value": False}]
        path = self._path(manifest.name, revision)
        self._server.put_action(path, content)
        proof = self._server.invoke(path, _NOTHING)
        if not proof.answered:
            self._server.delete_action(path)
            raise TargetError(
                f"{revision} of {manifest.name} did not prove itself on OpenWhisk: {_error(proof)}",
                next_step=f"see that {IMAGE} names the function image of this release, and the function's log",
            )
        return revision

    def route(self, name: str, revision: str) -> None:
        """Make `revision` the one component of the live name. See `Target`."""
        path = self._path(name, revision)
        if self._server.action(path) is None:  # the server takes a sequence of what is not there
            raise TargetError(
                f"{name} has no revision {revision} on OpenWhisk", next_step="deploy it first", status=404
            )
        self._server.put_action(
            self._path(name), {"exec": {"kind": "sequence", "components": [f"/_/{path}"]}}
        )

    def invoke(self, name: str, payload: Any) -> Any:
        """The live revision's answer to `payload`. See `Target`."""
        value = payload if isinstance(payload, dict) else {"records": payload}
        size = len(as_json(name, value))
        if size >= (most := self._server.limits().parameter_bytes):
            raise TargetError(
                f"the payload for {name} has {size} bytes, and OpenWhisk takes less than {most}",
                next_step="send fewer records at once",
                status=413,
            )
        asked = self._server.invoke(self._path(name), value)
        if not asked.succeeded:
            raise _failed(name, asked)
        return asked.result

    def serving(self, name: str) -> str:
        """The revision that answers behind the live name: the component that an activation of it had."""
        asked = self._server.invoke(self._path(name), _NOTHING)
        if not asked.answered:
            raise _failed(name, asked)
        components = self._server.activation(asked.id).logs
        if len(components) != 1:
            raise TargetError(
                f"{name} is no sequence of one revision on OpenWhisk", next_step="deploy it again"
            )
        return self._server.activation(components[0]).action.removeprefix(f"{name}-")

    def status(self, name: str) -> Status:
        """What OpenWhisk holds of the function. See `Target`."""
        found = self._revisions(name)
        live = self._server.action(self._path(name))
        if not found and live is None:
            raise TargetError(f"no function {name} on OpenWhisk", next_step="deploy it first", status=404)
        since = None if live is None else datetime.fromtimestamp(live["updated"] / 1000, UTC).isoformat()
        return Status(
            name=name,
            url=f"{self._server.url}/actions/{self._path(name)}",
            live=self._revision(name, live),
            since=since,
            revisions=tuple(
                RevisionStatus(revision=each["revision"], version=each["version"], state="ready")
                for each in found
            ),
        )

    def curl(self, url: str) -> str:
        """A blocking activation, with the key that is in the environment. See `Target`."""
        return f"""curl -s -u "${AUTH}" '{url}?blocking=true&result=true'"""

    def logs(self, name: str, lines: int = 100) -> list[str]:
        """The last `lines` lines that the live revision printed, of its last activations. See `Target`."""
        live = self._revision(name, self._server.action(self._path(name)))
        if live is None:
            raise TargetError(
                f"no function {name} is live on OpenWhisk", next_step="deploy it first", status=404
            )
        return self._server.printed(self._path(name, live), _ACTIVATIONS)[-lines:]

    def remove(self, name: str) -> None:
        """Take the function away, its live name first. See `Target`."""
        self._server.delete_action(self._path(name))
        for each in self._revisions(name):
            self._server.delete_action(self._path(name, each["revision"]))

    def _path(self, name: str, revision: str | None = None) -> str:
        return f"{self._package}/{name}" if revision is None else f"{self._package}/{name}-{revision}"

    def _revisions(self, name: str) -> list[Mapping[str, Any]]:
        """What the actions of a function's revisions say of themselves."""
        found = (_about(action) for action in self._server.actions(self._package))
        return [about for about in found if about.get("function") == name]

    def _revision(self, name: str, live: Mapping[str, Any] | None) -> str | None:
        """The revision that a live name's action points to."""
        if live is None:
            return None
        (component,) = live["exec"].get("components") or (None,)
        return None if component is None else str(component).rpartition("/")[2].removeprefix(f"{name}-")


def open_openwhisk(_: Path) -> OpenWhiskTarget:
    """The package PENSTOCK_OPENWHISK_PACKAGE of the namespace whose key is given. Raises TargetError."""
    missing = [name for name in (URL, AUTH, IMAGE) if not os.environ.get(name)]
    if missing:
        raise TargetError(
            f"OpenWhisk is the target, and {', '.join(missing)} is not set",
            next_step="set it where stages run and where `penstock` does: docs/targets.md",
        )
    image = os.environ[IMAGE]
    if ":" not in image.rpartition("/")[2] or image.endswith(":latest"):
        raise TargetError(
            f"{IMAGE} is {image}: expected an image with a tag that is not `latest`, which is pulled for every container",
            next_step="tag the function image with its release",
        )
    server = OpenWhisk(os.environ[URL], os.environ[AUTH])
    return OpenWhiskTarget(server, image, os.environ.get(PACKAGE, "penstock"))


def _action(limits: Limits, image: str, code: str) -> dict[str, Any]:
    """The action that runs a package, within what the server grants. Raises TargetError."""
    if len(code) > _MAX_CODE:
        raise TargetError(
            f"the package has {len(code)} bytes as OpenWhisk takes it, which is over its {_MAX_CODE}",
            next_step="train a smaller model, or put the package into an image of its own",
            status=413,
        )
    if limits.allowedKinds and _KIND not in limits.allowedKinds:
        raise TargetError(
            f"OpenWhisk allows this namespace actions of {', '.join(limits.allowedKinds)}, and a function is {_KIND}",
            next_step="have the operator allow it",
        )
    if limits.maxActionMemory is not None and limits.maxActionMemory < _MEMORY:
        raise TargetError(
            f"OpenWhisk grants an action at most {limits.maxActionMemory} MB, and a function takes {_MEMORY}",
            next_step="have the operator raise the limit",
        )
    return {
        "exec": {"kind": _KIND, "image": image, "code": code, "binary": True},
        "limits": {
            "memory": max(_MEMORY, limits.minActionMemory or 0),
            "timeout": min(_TIMEOUT, limits.maxActionTimeout or _TIMEOUT),
        },
    }


def _check_columns(package: Path) -> None:
    """Refuse columns whose values would not come through. Raises TargetError."""
    try:
        columns = [field["name"] for field in json.loads((package / MANIFEST).read_bytes())["inputs"]]
    except (ValueError, LookupError, TypeError) as error:
        raise TargetError(
            f"the inputs in {package / MANIFEST} cannot be read: {error}",
            next_step="build it again with `register`",
        ) from error
    for column in columns:
        if column.startswith(_TAKEN):
            raise TargetError(
                f"the column {column} would not reach the model: OpenWhisk uses parameters of that name itself",
                next_step="rename it in features()",
            )


def _about(action: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an action of ours says of itself; nothing where it is not ours."""
    found = next((each["value"] for each in action.get("annotations") or () if each["key"] == _ABOUT), None)
    return found if isinstance(found, dict) else {}


def _failed(name: str, ended: Activation) -> TargetError:
    return TargetError(f"{name} on OpenWhisk: {_error(ended)}", status=502)


def _error(ended: Activation) -> str:
    """Why an activation failed, in the runtime's words where it is one."""
    result = ended.result if isinstance(ended.result, dict) else {}
    error = result.get("error", result)
    if isinstance(error, dict):
        faults = f" {error['faults']}" if error.get("faults") else ""
        error = f"{error.get('message', error)}{faults}"
    return f"{ended.status} (activation {ended.id}): {str(error)[:2000]}"
