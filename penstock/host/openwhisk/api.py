"""OpenWhisk's REST API, below `/api/v1`, for whoever has the key of a namespace.

How a server answers: https://github.com/apache/openwhisk/blob/master/docs/rest_api.md
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from penstock.host.errors import HostError
from penstock.host.limits import Limits as HostLimits
from penstock.host.openwhisk import asked
from penstock.host.openwhisk.activations import KEPT, Which
from penstock.host.openwhisk.entities import (
    ActionContent,
    Content,
    Entity,
    PackageContent,
    RuleContent,
    StatusContent,
    brief,
    whole,
)
from penstock.host.openwhisk.namespaces import Namespace
from penstock.host.openwhisk.service import ACTIVATION_ID, BLOCKING, OpenWhisk
from penstock.host.openwhisk.triggers import shown
from penstock.host.openwhisk.web import Web

_MAX_LISTED: Final = 200

_Handler = Callable[[Request, Namespace], Awaitable[Response]]


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
            "/triggers": {"GET": self._triggers},
            "/triggers/{name}": {
                "GET": self._trigger,
                "PUT": self._put_trigger,
                "DELETE": self._remove_trigger,
                "POST": self._fire,
            },
            "/rules": {"GET": self._rules},
            "/rules/{name}": {
                "GET": self._rule,
                "PUT": self._put_rule,
                "DELETE": self._remove_rule,
                "POST": self._switch,
            },
            "/activations": {"GET": self._activations},
            "/activations/{id}": {"GET": self._activation},
            "/activations/{id}/logs": {"GET": self._activation_logs},
            "/activations/{id}/result": {"GET": self._activation_result},
        }
        return Starlette(
            routes=[
                self._route("/namespaces", {"GET": self._namespaces}),
                *(self._route(f"/namespaces/{{namespace}}{path}", given) for path, given in inside.items()),
                Web(self._whisk, self._limits).route("/web"),
            ],
            exception_handlers={
                HostError: asked.refuse,
                OSError: asked.no_storage,
                HTTPException: asked.http_error,
            },
        )

    def _route(self, path: str, handlers: Mapping[str, _Handler]) -> Route:
        """For whoever has the key of the namespace that the path names, or of any where it names none."""

        async def answer(request: Request) -> Response:
            namespace = self._authenticated(request)
            if request.path_params.get("namespace", "_") not in ("_", namespace.name):
                raise HostError(403, "The supplied authentication is not authorized to access this resource.")
            handler = asked.found(handlers.get(request.method))  # a HEAD has none
            return await handler(request, namespace)

        return Route(path, answer, methods=list(handlers))

    def _authenticated(self, request: Request) -> Namespace:
        namespace = asked.caller(request, self._whisk.namespaces)
        if namespace is None:
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
        package = asked.found(namespace.packages.get(asked.name(request)))
        inside = [
            brief(namespace.name, each) for each in namespace.actions.values() if each.package == package.name
        ]
        shown = whole(namespace.name, package) | {"actions": inside, "feeds": []}
        return JSONResponse(shown)

    async def _action(self, request: Request, namespace: Namespace) -> Response:
        action = asked.found(namespace.actions.get(asked.path(request)))
        shown = whole(namespace.name, action)
        if action.revision is not None and asked.flag(request, "code", usual=True):
            shown["exec"] |= {"code": await self._whisk.code(namespace.name, action)}
        return JSONResponse(shown)

    # -- what changes it ----------------------------------------------------------------------------------------

    async def _put_package(self, request: Request, namespace: Namespace) -> Response:
        content = await asked.content(request, PackageContent, self._limits)
        put = await self._whisk.put_package(
            namespace.name, asked.name(request), content, overwrite=asked.flag(request, "overwrite")
        )
        return JSONResponse(whole(namespace.name, put))

    async def _remove_package(self, request: Request, namespace: Namespace) -> Response:
        removed = await self._whisk.remove_package(
            namespace.name, asked.name(request), force=asked.flag(request, "force")
        )
        return JSONResponse(whole(namespace.name, removed))

    async def _put_action(self, request: Request, namespace: Namespace) -> Response:
        content = await asked.content(request, ActionContent, self._limits)
        put = await self._whisk.put_action(
            namespace.name,
            asked.name(request),
            request.path_params.get("package"),
            content,
            overwrite=asked.flag(request, "overwrite"),
        )
        return JSONResponse(whole(namespace.name, put))

    async def _remove_action(self, request: Request, namespace: Namespace) -> Response:
        removed = await self._whisk.remove_action(namespace.name, asked.path(request))
        return JSONResponse(whole(namespace.name, removed))

    # -- triggers and rules -------------------------------------------------------------------------------------

    async def _triggers(self, request: Request, namespace: Namespace) -> Response:
        return _listed(request, namespace.name, "triggers", namespace.triggers.values())

    async def _trigger(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse(shown(namespace, asked.found(namespace.triggers.get(asked.name(request)))))

    async def _put_trigger(self, request: Request, namespace: Namespace) -> Response:
        content = await asked.content(request, Content, self._limits)
        put = await self._whisk.triggers.put_trigger(
            namespace.name, asked.name(request), content, overwrite=asked.flag(request, "overwrite")
        )
        return JSONResponse(shown(namespace, put))

    async def _remove_trigger(self, request: Request, namespace: Namespace) -> Response:
        removed = await self._whisk.triggers.remove_trigger(namespace.name, asked.name(request))
        return JSONResponse(whole(namespace.name, removed))

    async def _fire(self, request: Request, namespace: Namespace) -> Response:
        payload = await asked.parameters(request, self._limits)
        trigger = asked.found(namespace.triggers.get(asked.name(request)))
        number = await self._whisk.triggers.fire(namespace, trigger, payload)
        if number is None:
            return Response(status_code=204)
        return JSONResponse({"activationId": number}, 202, {ACTIVATION_ID: number})

    async def _rules(self, request: Request, namespace: Namespace) -> Response:
        return _listed(request, namespace.name, "rules", namespace.rules.values())

    async def _rule(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse(whole(namespace.name, asked.found(namespace.rules.get(asked.name(request)))))

    async def _put_rule(self, request: Request, namespace: Namespace) -> Response:
        content = await asked.content(request, RuleContent, self._limits)
        put = await self._whisk.triggers.put_rule(
            namespace.name, asked.name(request), content, overwrite=asked.flag(request, "overwrite")
        )
        return JSONResponse(whole(namespace.name, put))

    async def _remove_rule(self, request: Request, namespace: Namespace) -> Response:
        removed = await self._whisk.triggers.remove_rule(namespace.name, asked.name(request))
        return JSONResponse(whole(namespace.name, removed))

    async def _switch(self, request: Request, namespace: Namespace) -> Response:
        wanted = await asked.content(request, StatusContent, self._limits)
        await self._whisk.triggers.switch(namespace.name, asked.name(request), wanted.status)
        return PlainTextResponse("OK")

    # -- activations --------------------------------------------------------------------------------------------

    async def _invoke(self, request: Request, namespace: Namespace) -> Response:
        action = asked.found(namespace.actions.get(asked.path(request)))
        most = round(BLOCKING * 1000)
        patience = asked.whole_number(request, "timeout", most, 1, most) / 1000
        blocking = asked.flag(request, "blocking")
        value = await asked.parameters(request, self._limits)
        number, record = await self._whisk.invoke(namespace.name, action, value, patience if blocking else 0)
        headers = {ACTIVATION_ID: number}
        if record is None:
            return JSONResponse({"activationId": number}, 202, headers)
        response = record["response"]
        bare = asked.flag(request, "result") or isinstance(response["result"], list)
        status = 200 if response["success"] else 500 if response["statusCode"] == 3 else 502
        return JSONResponse(response["result"] if bare else {**record, "logs": []}, status, headers)

    async def _activations(self, request: Request, namespace: Namespace) -> Response:
        limit = asked.whole_number(request, "limit", 30, 0, _MAX_LISTED)
        which = Which(
            action=request.query_params.get("name"),
            since=asked.whole_number(request, "since", 0, 0, 2**53),
            upto=asked.whole_number(request, "upto", 2**53, 0, 2**53),
            limit=limit or _MAX_LISTED,
            skip=asked.whole_number(request, "skip", 0, 0, KEPT),
        )
        if asked.flag(request, "count"):
            return JSONResponse({"activations": await self._whisk.count(namespace.name, which)})
        found = await self._whisk.find(namespace.name, which)
        return JSONResponse(found if asked.flag(request, "docs") else [_brief(record) for record in found])

    async def _activation(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse(await self._record(request, namespace))

    async def _activation_logs(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse({"logs": (await self._record(request, namespace))["logs"]})

    async def _activation_result(self, request: Request, namespace: Namespace) -> Response:
        return JSONResponse((await self._record(request, namespace))["response"])

    async def _record(self, request: Request, namespace: Namespace) -> dict[str, Any]:
        return asked.found(await self._whisk.record(namespace.name, request.path_params["id"]))


def _listed(request: Request, namespace: str, kind: str, entities: Collection[Entity]) -> Response:
    """Some of the entities of a kind, the one that changed last first, or their number."""
    limit = asked.whole_number(request, "limit", 30, 0, _MAX_LISTED) or _MAX_LISTED
    skip = asked.whole_number(request, "skip", 0, 0, 2**31)
    if asked.flag(request, "count"):
        return JSONResponse({kind: max(0, len(entities) - skip)})
    newest = sorted(entities, key=lambda entity: entity.updated, reverse=True)
    return JSONResponse([brief(namespace, entity) for entity in newest[skip : skip + limit]])


def _brief(record: dict[str, Any]) -> dict[str, Any]:
    left_out = ("logs", "response", "subject")
    shown = {name: value for name, value in record.items() if name not in left_out}
    return shown | {"statusCode": record["response"]["statusCode"]}
