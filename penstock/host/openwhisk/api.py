"""OpenWhisk's REST API, below `/api/v1`, for whoever has the key of a namespace.

How a server answers: https://github.com/apache/openwhisk/blob/master/docs/rest_api.md
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.host.errors import HostError, storage_error
from penstock.host.limits import Limits as HostLimits
from penstock.host.openwhisk.activations import KEPT, Which
from penstock.host.openwhisk.entities import (
    MAX_PARAMETERS,
    NAME,
    ActionContent,
    Entity,
    PackageContent,
    brief,
    whole,
)
from penstock.host.openwhisk.namespaces import Namespace
from penstock.host.openwhisk.service import OpenWhisk
from penstock.host.upload import read_body

_MAX_BODY: Final = 50 * 2**20
_MAX_LISTED: Final = 200
_BLOCKING_MS: Final = 60_000
_MISSING: Final = "The requested resource does not exist."

_Handler = Callable[[Request, Namespace], Awaitable[Response]]
_B = TypeVar("_B", bound=BaseModel)


class Api:
    """Answers requests by what `whisk` does."""

    def __init__(self, whisk: OpenWhisk, limits: HostLimits) -> None:
        self._whisk = whisk
        self._limits = limits

    def app(self) -> Starlette:
        """The ASGI application, to be mounted at `/api/v1`."""
        action: dict[str, _Handler] = {
            "GET": self._action,
            "PUT": self._put_action,
            "DELETE": self._remove_action,
            "POST": self._invoke,
        }
        inside: dict[str, dict[str, _Handler]] = {
            "/limits": {"GET": self._get_limits},
            "/packages": {"GET": self._packages},
            "/packages/{name}": {
                "GET": self._package,
                "PUT": self._put_package,
                "DELETE": self._remove_package,
            },
            "/actions": {"GET": self._actions},
            "/actions/{name}": action,
            "/actions/{package}/{name}": action,
            "/activations": {"GET": self._activations},
            "/activations/{id}": {"GET": self._activation},
            "/activations/{id}/logs": {"GET": self._activation_logs},
            "/activations/{id}/result": {"GET": self._activation_result},
        }
        return Starlette(
            routes=[
                self._route("/namespaces", {"GET": self._namespaces}),
                *(self._route(f"/namespaces/{{namespace}}{path}", given) for path, given in inside.items()),
            ],
            exception_handlers={HostError: _refuse, OSError: _no_storage, HTTPException: _http_error},
        )

    def _route(self, path: str, handlers: Mapping[str, _Handler]) -> Route:
        """For whoever has the key of the namespace that the path names, or of any where it names none."""

        async def answer(request: Request) -> Response:
            namespace = self._authenticated(request)
            if request.path_params.get("namespace", "_") not in ("_", namespace.name):
                raise HostError(403, "The supplied authentication is not authorized to access this resource.")
            handler = _found(handlers.get(request.method))  # a HEAD has none
            return await handler(request, namespace)

        return Route(path, answer, methods=list(handlers))

    def _authenticated(self, request: Request) -> Namespace:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            identity, _, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except ValueError:
            identity = secret = ""
        namespace = self._whisk.namespaces.authenticated(identity, secret)
        if scheme.lower() != "basic" or namespace is None:
            raise HostError(401, "The supplied authentication is invalid.")
        return namespace

    # -- what there is ------------------------------------------------------------------------------------------

    async def _namespaces(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse([namespace.name])

    async def _get_limits(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse(self._whisk.limits())

    async def _packages(self, request: Request, namespace: Namespace) -> Response:
        return _listed(request, namespace.name, "packages", namespace.packages.values())

    async def _actions(self, request: Request, namespace: Namespace) -> Response:
        return _listed(request, namespace.name, "actions", namespace.actions.values())

    async def _package(self, request: Request, namespace: Namespace) -> Response:
        package = _found(namespace.packages.get(_name(request)))
        inside = [
            brief(namespace.name, each) for each in namespace.actions.values() if each.package == package.name
        ]
        shown = whole(namespace.name, package) | {"binding": {}, "actions": inside, "feeds": []}
        return JSONResponse(shown)

    async def _action(self, request: Request, namespace: Namespace) -> Response:
        action = _found(namespace.actions.get(_path(request)))
        shown = whole(namespace.name, action)
        if action.revision is not None and _flag(request, "code", usual=True):
            shown["exec"] |= {"code": await self._whisk.code(namespace.name, action)}
        return JSONResponse(shown)

    # -- what changes it ----------------------------------------------------------------------------------------

    async def _put_package(self, request: Request, namespace: Namespace) -> Response:
        content = await self._content(request, PackageContent)
        put = await self._whisk.put_package(
            namespace.name, _name(request), content, overwrite=_flag(request, "overwrite")
        )
        return JSONResponse(whole(namespace.name, put) | {"binding": {}})

    async def _remove_package(self, request: Request, namespace: Namespace) -> Response:
        removed = await self._whisk.remove_package(
            namespace.name, _name(request), force=_flag(request, "force")
        )
        return JSONResponse(whole(namespace.name, removed))

    async def _put_action(self, request: Request, namespace: Namespace) -> Response:
        content = await self._content(request, ActionContent)
        put = await self._whisk.put_action(
            namespace.name,
            _name(request),
            request.path_params.get("package"),
            content,
            overwrite=_flag(request, "overwrite"),
        )
        return JSONResponse(whole(namespace.name, put))

    async def _remove_action(self, request: Request, namespace: Namespace) -> Response:
        removed = await self._whisk.remove_action(namespace.name, _path(request))
        return JSONResponse(whole(namespace.name, removed))

    async def _content(self, request: Request, model: type[_B]) -> _B:
        body = await self._body(request, _MAX_BODY, too_large=400)
        try:
            # As large as a package: others are answered meanwhile.
            return await asyncio.to_thread(model.model_validate_json, body or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise _malformed(f"{where}: {first['msg']}" if where else first["msg"]) from error

    # -- activations --------------------------------------------------------------------------------------------

    async def _invoke(self, request: Request, namespace: Namespace) -> Response:
        action = _found(namespace.actions.get(_path(request)))
        patience = _whole(request, "timeout", _BLOCKING_MS, 1, _BLOCKING_MS) / 1000
        blocking = _flag(request, "blocking")
        body = await self._body(request, MAX_PARAMETERS - 1, too_large=413)
        try:
            value = json.loads(body or b"{}")
        except ValueError as error:
            raise _malformed(str(error)) from error
        if not isinstance(value, dict):
            raise _malformed("expected a JSON object")
        number = uuid.uuid4().hex
        record = await self._whisk.invoke(namespace.name, action, value, number, patience if blocking else 0)
        headers = {"x-openwhisk-activation-id": number}
        if record is None:
            return JSONResponse({"activationId": number}, 202, headers)
        response = record["response"]
        bare = _flag(request, "result") or isinstance(response["result"], list)
        status = 200 if response["success"] else 500 if response["statusCode"] == 3 else 502
        return JSONResponse(response["result"] if bare else {**record, "logs": []}, status, headers)

    async def _activations(self, request: Request, namespace: Namespace) -> Response:
        limit = _whole(request, "limit", 30, 0, _MAX_LISTED)
        which = Which(
            action=request.query_params.get("name"),
            since=_whole(request, "since", 0, 0, 2**53),
            upto=_whole(request, "upto", 2**53, 0, 2**53),
            limit=limit or _MAX_LISTED,
            skip=_whole(request, "skip", 0, 0, KEPT),
        )
        if _flag(request, "count"):
            return JSONResponse({"activations": await self._whisk.count(namespace.name, which)})
        found = await self._whisk.find(namespace.name, which)
        return JSONResponse(found if _flag(request, "docs") else [_brief(record) for record in found])

    async def _activation(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse(await self._record(request, namespace))

    async def _activation_logs(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse({"logs": (await self._record(request, namespace))["logs"]})

    async def _activation_result(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse((await self._record(request, namespace))["response"])

    async def _record(self, request: Request, namespace: Namespace) -> dict[str, Any]:
        return _found(await self._whisk.record(namespace.name, request.path_params["id"]))

    async def _body(self, request: Request, limit: int, *, too_large: int) -> bytes:
        try:
            return await read_body(request, limit=limit, seconds=self._limits.body_seconds)
        except HostError as error:
            if error.status != 413:
                raise
            said = f"The request content was malformed:\n{error.message}"
            raise HostError(too_large, said) from error


_F = TypeVar("_F")


def _found(entity: _F | None) -> _F:
    if entity is None:
        raise HostError(404, _MISSING)
    return entity


def _name(request: Request) -> str:
    return _sound(request.path_params["name"])


def _path(request: Request) -> str:
    package = request.path_params.get("package")
    return _name(request) if package is None else f"{_sound(package)}/{_name(request)}"


def _sound(name: str) -> str:
    if not NAME.fullmatch(name):
        raise HostError(400, f"{name[:80]!r} is no name of an entity: expected {NAME.pattern}")
    return name


def _flag(request: Request, name: str, *, usual: bool = False) -> bool:
    given = request.query_params.get(name)
    if given is None:
        return usual
    if given not in ("true", "false"):
        raise HostError(400, f"The query parameter '{name}' is {given[:80]!r}: expected true or false")
    return given == "true"


def _whole(request: Request, name: str, usual: int, least: int, most: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return usual
    if not (given.isascii() and given.isdigit() and least <= int(given[:17]) <= most):
        raise HostError(
            400,
            f"The query parameter '{name}' is {given[:80]!r}: expected a whole number from {least} to {most}",
        )
    return int(given)


def _listed(request: Request, namespace: str, kind: str, entities: Collection[Entity]) -> Response:
    """Some of the entities of a kind, the one that changed last first, or their number."""
    limit = _whole(request, "limit", 30, 0, _MAX_LISTED) or _MAX_LISTED
    skip = _whole(request, "skip", 0, 0, 2**31)
    if _flag(request, "count"):
        return JSONResponse({kind: max(0, len(entities) - skip)})
    newest = sorted(entities, key=lambda entity: entity.updated, reverse=True)
    return JSONResponse([brief(namespace, entity) for entity in newest[skip : skip + limit]])


def _brief(record: dict[str, Any]) -> dict[str, Any]:
    left_out = ("logs", "response", "subject")
    shown = {name: value for name, value in record.items() if name not in left_out}
    return shown | {"statusCode": record["response"]["statusCode"]}


def _malformed(why: str) -> HostError:
    return HostError(400, f"The request content was malformed:\n{why}")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HostError)
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="OpenWhisk"'
    if error.status in (400, 401, 403, 408, 413):
        # The body may not have been read to its end: what follows on this connection is not the next request.
        headers["Connection"] = "close"
    said = error.message if error.next_step is None else f"{error.message} ({error.next_step})"
    return JSONResponse({"code": uuid.uuid4().hex, "error": said}, error.status, headers)


async def _no_storage(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return await _refuse(request, storage_error(error, f"answering {request.method} {request.url.path}"))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = _MISSING if error.status_code == 404 else error.detail
    return JSONResponse({"code": uuid.uuid4().hex, "error": said}, error.status_code, error.headers)
