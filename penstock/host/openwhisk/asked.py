"""What requests of the API ask, read and checked, and how they are refused."""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from penstock.host.errors import HostError, storage_error
from penstock.host.limits import Limits
from penstock.host.openwhisk.entities import MAX_PARAMETERS, NAME, parsed
from penstock.host.openwhisk.namespaces import MISSING, Namespace, Namespaces
from penstock.host.upload import read_body
from penstock.numbers import whole

_MAX_BODY: Final = 50 * 2**20
_B = TypeVar("_B", bound=BaseModel)
_F = TypeVar("_F")


def caller(request: Request, namespaces: Namespaces) -> Namespace | None:
    """The namespace whose key the request has; None where it has none, or a wrong one."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    try:
        identity, _, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except ValueError:
        identity = secret = ""
    namespace = namespaces.authenticated(identity, secret)
    return namespace if scheme.lower() == "basic" else None


async def content(request: Request, model: type[_B], limits: Limits) -> _B:
    """The entity in a body. Raises HostError (400)."""
    body = await _body(request, limits, _MAX_BODY, too_large=400)
    try:
        # As large as a package: others are answered meanwhile.
        return await asyncio.to_thread(model.model_validate_json, body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise malformed(f"{where}: {first['msg']}" if where else first["msg"]) from error


async def body(request: Request, limits: Limits) -> bytes:
    """The body of a request with parameters. Raises HostError (413)."""
    return await _body(request, limits, MAX_PARAMETERS - 1, too_large=413)


async def parameters(request: Request, limits: Limits) -> dict[str, Any]:
    """The JSON object in a body; without one none. Raises HostError (400, 413)."""
    try:
        value = parsed(await body(request, limits) or b"{}")
    except ValueError as error:
        raise malformed(str(error)) from error
    if not isinstance(value, dict):
        raise malformed("expected a JSON object")
    return value


async def _body(request: Request, limits: Limits, most: int, *, too_large: int) -> bytes:
    try:
        return await read_body(request, limit=most, seconds=limits.body_seconds)
    except HostError as error:
        if error.status != 413:
            raise
        said = f"The request content was malformed:\n{error.message}"
        raise (HostError if too_large == 413 else Oversized)(too_large, said) from error


def found(entity: _F | None) -> _F:
    """It, where it is there. Raises HostError (404)."""
    if entity is None:
        raise HostError(404, MISSING)
    return entity


def name(request: Request) -> str:
    """The name of the entity in the path. Raises HostError (400)."""
    return _sound(request.path_params["name"])


def path(request: Request) -> str:
    """The action's path within its namespace. Raises HostError (400)."""
    package = request.path_params.get("package")
    return name(request) if package is None else f"{_sound(package)}/{name(request)}"


def _sound(given: str) -> str:
    if not NAME.fullmatch(given):
        raise HostError(400, f"{given[:80]!r} is no name of an entity: expected {NAME.pattern}")
    return given


def flag(request: Request, key: str, *, usual: bool = False) -> bool:
    """A query parameter that is true or false. Raises HostError (400)."""
    given = request.query_params.get(key)
    if given is None:
        return usual
    if given not in ("true", "false"):
        raise HostError(400, f"The query parameter '{key}' is {given[:80]!r}: expected true or false")
    return given == "true"


def whole_number(request: Request, key: str, usual: int, least: int, most: int) -> int:
    """A query parameter that is a whole number from `least` to `most`. Raises HostError (400)."""
    given = request.query_params.get(key)
    if given is None:
        return usual
    number = whole(given)
    if number is None or not least <= number <= most:
        raise HostError(
            400,
            f"The query parameter '{key}' is {given[:80]!r}: expected a whole number from {least} to {most}",
        )
    return number


class Oversized(HostError):
    """An entity that is larger than anything is read, which is told as text."""


def malformed(why: str) -> HostError:
    """Of a body that is not what is expected."""
    return HostError(400, f"The request content was malformed:\n{why}")


async def refuse(request: Request, error: Exception) -> Response:
    """The answer to a HostError."""
    assert isinstance(error, HostError)
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="OpenWhisk"'
    if error.status in (400, 401, 403, 408, 413):
        # The body may not have been read to its end: what follows on this connection is not the next request.
        headers["Connection"] = "close"
    if isinstance(error, Oversized):
        return PlainTextResponse(error.message, error.status, headers)
    said = error.message if error.next_step is None else f"{error.message} ({error.next_step})"
    return JSONResponse({"code": uuid.uuid4().hex, "error": said}, error.status, headers)


async def no_storage(request: Request, error: Exception) -> Response:
    """The answer to an OSError."""
    assert isinstance(error, OSError)
    return await refuse(request, storage_error(error, f"answering {request.method} {request.url.path}"))


async def http_error(request: Request, error: Exception) -> Response:
    """The answer to what has no route."""
    assert isinstance(error, HTTPException)
    said = MISSING if error.status_code == 404 else error.detail
    return JSONResponse({"code": uuid.uuid4().hex, "error": said}, error.status_code, error.headers)
