"""One OpenAPI description of all routes, made of the functions' own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Message

from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.gateway.callers import KEY_HEADER
from penstock.host.gateway.config import Config, Route
from penstock.host.manifest import REVISION_HEADER
from penstock.host.proxy import Proxy
from penstock.host.state import StateFolder

_AT_ONCE: Final = 4  # functions that are asked, and maybe started for it

_SCHEMES: Final[dict[str, dict[str, str]]] = {
    "key": {"type": "apiKey", "in": "header", "name": KEY_HEADER},
    "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
}
_REFUSAL: Final = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "What is wrong, in a sentence."},
        "next_step": {"type": ["string", "null"], "description": "What to do."},
    },
    "required": ["error", "next_step"],
}
#: The gateway's own answers, beside a function's.
_REFUSALS: Final = {
    "401": "The key or the token is missing, or is not taken.",
    "403": "The key does not open this route.",
    "429": "The caller's limit is used up.",
    "503": "The function does not answer now.",
    "504": "The function did not answer in time.",
}
#: Calls of which a function has no description, or which are the same of all.
_PLAIN: Final = {
    "POST /predict": "Score one record or many",
    "GET /health": "Ask whether the function is ready, and which version answers",
    "GET /v2": "Ask for the server's metadata (Open Inference Protocol)",
    "POST /v2": "Score tensors (Open Inference Protocol)",
}


@dataclass(frozen=True)
class Described:
    """What a function says of itself, None where it does not, and then `why` it does not."""

    document: Mapping[str, Any] | None
    why: str = ""


class Descriptions:
    """What functions say of themselves: asked once of each revision, which never changes, and kept beside it."""

    def __init__(self, state: StateFolder, functions: Functions, proxy: Proxy) -> None:
        self._state = state
        self._functions = functions
        self._proxy = proxy
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def of(self, routes: Iterable[Route]) -> list[tuple[Route, Described]]:
        """Each route with what its function says."""
        given = list(routes)
        return list(zip(given, await asyncio.gather(*map(self._of, given)), strict=True))

    async def _of(self, route: Route) -> Described:
        try:
            revision = route.revision or self._functions.live(route.function)
            kept = None if revision is None else self._state.description(route.function, revision)
            if kept is None:
                kept = await self._asked(route.function, route.revision)
        except HostError as error:
            return Described(None, f"It does not answer now ({error.status}).")
        return Described(json.loads(kept)) if kept else Described(None, "It has no description of its own.")

    async def _asked(self, function: str, revision: str | None) -> bytes:
        """The document, empty where there is none; a function at zero is started for it. Raises HostError."""
        async with self._turn:
            answer = await self._proxy.forward(function, "openapi.json", _reading(), revision)
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise HostError(answer.status_code, f"{function} does not describe itself")
        document = bytes(answer.body) if answer.status_code == HTTPStatus.OK else b""
        self._state.describe(function, answer.headers[REVISION_HEADER], document)
        return document


def _reading() -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    return Request({"type": "http", "method": "GET", "headers": [], "query_string": b""}, receive)


def describe(config: Config, described: Sequence[tuple[Route, Described]]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of these routes. Schemas are named by function and revision: two routes to the same share them."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Refusal": _REFUSAL}
    for route, found in described:
        prefix = f"{route.function}.{route.revision or 'live'}"
        document = _prefixed(found.document or {}, prefix)
        own = document.get("components", {}).get("schemas", {})
        schemas |= {f"{prefix}.{name}": schema for name, schema in own.items()}
        for method, path, operation in _operations(config, route, document):
            paths.setdefault(path, {})[method] = operation
    schemes = sorted({route.auth for route, _ in described} & set(_SCHEMES))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Functions",
            "version": "1",
            "description": "All functions that are open here."
            + (f" Limit of each caller over all of them: {config.limit}." if config.limit else ""),
        },
        # Relative to this document, so that it also holds behind what stands in front of the gateway.
        "servers": [{"url": "."}],
        "tags": [{"name": route.path, "description": _about(route, found)} for route, found in described],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {name: _SCHEMES[name] for name in schemes}},
    }


def _operations(
    config: Config, route: Route, document: Mapping[str, Any]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    # A key may have a limit of its own.
    limited = route.auth == "key" or config.limit is not None or route.limit is not None
    refused = {each: _refusal(each) for each in _REFUSALS if _may_be(int(each), route, limited)}
    for call in route.calls:
        method, page = call.split(" ")
        own = document.get("paths", {}).get(page, {}).get(method.lower(), _plain(call))
        path = (
            f"{route.path}{page}/models/{route.function}/infer"
            if call == "POST /v2"
            else f"{route.path}{page}"
        )
        operation = {
            **own,
            "operationId": f"{method.lower()} {path}",
            "tags": [route.path],
            "security": [] if route.auth == "none" else [{route.auth: []}],
            "responses": dict(sorted({**refused, **own["responses"]}.items())),
        }
        yield method.lower(), path, operation


def _may_be(status: int, route: Route, limited: bool) -> bool:
    """Whether the gateway may answer so on that route."""
    if status == HTTPStatus.UNAUTHORIZED:
        return route.auth != "none"
    if status == HTTPStatus.FORBIDDEN:
        return route.keys is not None
    return limited or status != HTTPStatus.TOO_MANY_REQUESTS


def _plain(call: str) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": {}}}, "required": True}
    return {
        "summary": _PLAIN[call],
        **({"requestBody": body} if call.startswith("POST") else {}),
        "responses": {"200": {"description": "The answer.", "content": {"application/json": {"schema": {}}}}},
    }


def _refusal(status: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Refusal"}
    return {"description": _REFUSALS[status], "content": {"application/json": {"schema": schema}}}


def _about(route: Route, found: Described) -> str:
    info = (found.document or {}).get("info", {})
    version = f", now version {info['version']}" if info else ""
    which = f"revision {route.revision}" if route.revision else f"what is live{version}"
    limit = f" Limit of each caller: {route.limit}." if route.limit else ""
    return f"The function {route.function}, {which}. {info.get('description', found.why)}{limit}"


def _prefixed(value: Any, prefix: str) -> Any:
    """A part of a document whose references to schemas are to those of that prefix."""
    if isinstance(value, Mapping):
        return {name: _reference(name, each, prefix) for name, each in value.items()}
    return [_prefixed(each, prefix) for each in value] if isinstance(value, list) else value


def _reference(name: str, value: Any, prefix: str) -> Any:
    start = "#/components/schemas/"
    if name == "$ref" and isinstance(value, str) and value.startswith(start):
        return f"{start}{prefix}.{value.removeprefix(start)}"
    return _prefixed(value, prefix)
