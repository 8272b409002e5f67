"""Web actions: asked over HTTP without the key of their namespace, as their annotations allow.

How a server does it: https://github.com/apache/openwhisk/blob/master/docs/webactions.md
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.host.errors import HostError
from penstock.host.limits import Limits
from penstock.host.openwhisk import asked
from penstock.host.openwhisk.actions import APPLICATION_ERROR, SUCCESS
from penstock.host.openwhisk.entities import Action, merged, parsed
from penstock.host.openwhisk.invoking import Record
from penstock.host.openwhisk.namespaces import MISSING, Namespace
from penstock.host.openwhisk.projection import EXTENSIONS, HTTP, MediaType
from penstock.host.openwhisk.service import ACTIVATION_ID, BLOCKING, OpenWhisk

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
_BODY: Final = "__ow_body"
#: What an action is told of the request; nobody gives them by query or body.
_RESERVED: Final = {"__ow_method", "__ow_headers", "__ow_path", "__ow_user", "__ow_query", _BODY}
#: The package of actions that lie in none.
_DEFAULT: Final = "default"
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": ", ".join(_METHODS),
}
_ALLOWED_HEADERS: Final = "Authorization, Origin, X-Requested-With, Content-Type, Accept, User-Agent"


class Web:
    """Answers for the web actions of all namespaces of `whisk`."""

    def __init__(self, whisk: OpenWhisk, limits: Limits) -> None:
        self._whisk = whisk
        self._limits = limits

    def route(self, prefix: str) -> Route:
        """`/namespace/package/action.extension`, and any path behind it."""
        return Route(f"{prefix}/{{namespace}}/{{package}}/{{rest:path}}", self._answer, methods=_METHODS)

    async def _answer(self, request: Request) -> Response:
        last, slash, behind = request.path_params["rest"].partition("/")
        name, extension = _split(last)
        namespace = asked.found(self._whisk.namespaces.get(request.path_params["namespace"]))
        package = request.path_params["package"]
        action = asked.found(namespace.actions.get(name if package == _DEFAULT else f"{package}/{name}"))
        annotations = merged(action.annotations)
        if annotations.get("web-export") is not True:
            raise HostError(404, MISSING)
        headers = {} if annotations.get("web-custom-options") is True else _cors(request)
        if request.method == "OPTIONS" and headers:
            return Response(headers=headers)
        try:
            value = await self._value(request, namespace, action, annotations, quote(slash + behind))
            number, record = await self._whisk.invoke(namespace.name, action, value, BLOCKING)
            response = await _respond(request, record, extension)
            response.headers[ACTIVATION_ID] = number
        except HostError as error:
            response = await asked.refuse(request, error)
        for header, said in headers.items():
            response.headers.setdefault(header, said)
        return response

    async def _value(
        self,
        request: Request,
        namespace: Namespace,
        action: Action,
        annotations: Mapping[str, Any],
        path: str,
    ) -> dict[str, Any]:
        """What the action is asked with. Raises HostError (400, 401, 413)."""
        user = asked.caller(request, self._whisk.namespaces)
        # Who asks for options may not be able to say who they are.
        if request.method != "OPTIONS" and not _allowed(request, annotations, user):
            raise HostError(401, "Authentication is possible but has failed or not yet been provided.")
        body = await asked.body(request, self._limits)
        told = {
            "__ow_method": request.method.lower(),
            "__ow_headers": dict(request.headers),
            "__ow_path": path,
            **({} if user is None else {"__ow_user": user.name}),
        }
        if annotations.get("raw-http") is True:
            return {**told, "__ow_query": request.url.query, _BODY: _opaque(request, body)}
        given, opaque = _fields(request, body)
        fixed = _fixed(namespace, action) if annotations.get("final") is True else set()
        if given.keys() & (_RESERVED | fixed):
            raise HostError(
                400, "Request defines parameters that are not allowed (e.g., reserved properties)."
            )
        return {**told, **given, **opaque}


def _split(last: str) -> tuple[str, str]:
    """An action's name and extension; one that is none of those known belongs to the name."""
    for extension in EXTENSIONS:
        if last.endswith(extension):
            return last.removesuffix(extension), extension
    return last, HTTP


def _cors(request: Request) -> dict[str, str]:
    """What tells browsers that any page may ask."""
    wanted = request.headers.get("access-control-request-headers", _ALLOWED_HEADERS)
    return {**_CORS, "Access-Control-Allow-Headers": wanted}


def _allowed(request: Request, annotations: Mapping[str, Any], user: Namespace | None) -> bool:
    """Whether whoever asks has what `require-whisk-auth` wants: a key of any namespace, or the secret that it is."""
    wanted = annotations.get("require-whisk-auth", False)
    if wanted is False or wanted is True:
        return wanted is False or user is not None
    if not isinstance(wanted, str | int | float):
        return False
    secret = wanted if isinstance(wanted, str) else json.dumps(wanted)
    given = request.headers.get("x-require-whisk-auth")
    # Headers are read as Latin-1, whatever their bytes are.
    return given is not None and hmac.compare_digest(given.encode("latin-1"), secret.encode())


def _fixed(namespace: Namespace, action: Action) -> set[str]:
    """The parameters that an action, or its package, has a value of."""
    package = namespace.packages.get(action.package or "")
    bound = merged(package.parameters if package else (), action.parameters)
    return {name for name, value in bound.items() if value is not None}


def _fields(request: Request, body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters in the query and the body, and the body where it is none of parameters. Raises HostError (400)."""
    query: dict[str, Any] = dict(request.query_params)
    kind = _kind(request)
    if not body:
        return query, {}
    if kind.json:
        try:
            value = parsed(body)
        except ValueError as error:
            raise asked.malformed(str(error)) from error
        return ({**query, **value}, {}) if isinstance(value, dict) else (query, {_BODY: value})
    if (kind.main, kind.sub) == ("application", "x-www-form-urlencoded"):
        return {**query, **dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))}, {}
    return query, {_BODY: _opaque(request, body)}


def _opaque(request: Request, body: bytes) -> str:
    """A body as it is: text, or base64 where its type is no text, and of JSON."""
    kind = _kind(request)
    if kind.text and (kind.main, kind.sub) != ("application", "json"):
        return body.decode("utf-8", "replace")
    return base64.b64encode(body).decode()


def _kind(request: Request) -> MediaType:
    return MediaType.parse(request.headers.get("content-type", "")) or MediaType(
        "application", "octet-stream"
    )


async def _respond(request: Request, record: Record | None, extension: str) -> Response:
    """What becomes of an activation: a 202 where it has not ended, 400 where it failed."""
    try:
        if record is None:
            raise HostError(202, "Response not yet ready.")
        response = record["response"]
        if response["status"] not in (SUCCESS, APPLICATION_ERROR):
            raise HostError(400, "There was an error processing your request.")
        result = response["result"]
        return EXTENSIONS[extension](result if response["success"] else result["error"])
    except HostError as error:
        return await asked.refuse(request, error)
