"""The host's HTTP API."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.host.background import Background
from penstock.host.compaction import Compaction
from penstock.host.errors import HostError, storage_error
from penstock.host.functions import Functions
from penstock.host.gateway.administration import Administration
from penstock.host.gateway.app import Gateway
from penstock.host.limits import Limits
from penstock.host.loopback import LOOPBACK_NAMES
from penstock.host.manifest import NAME, REVISION
from penstock.host.openwhisk.api import Api
from penstock.host.openwhisk.service import OpenWhisk
from penstock.host.pool import Pool
from penstock.host.proxy import METRICS, Proxy
from penstock.host.state import HostRecord, StateFolder
from penstock.host.upload import read_body, save_body
from penstock.host.whole import Whole, parts_of
from penstock.numbers import whole
from penstock.rollout.labels import Label
from penstock.rollout.record import ACTIONS, Action
from penstock.spec.rollout import Rollout

_Body = TypeVar("_Body", bound=BaseModel)
_Handler = Callable[[Request], Awaitable[Response]]

_PROXIED = ("health", "openapi.json", "docs")
_PREDICT = re.compile(rf"/functions/({NAME.pattern})/predict".encode())
# Below /v2, names and words: nothing that leads elsewhere.
_INFERENCE = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9_.-]*)*", re.ASCII)
_MAX_LOG_LINES = 10_000


class _Traffic(BaseModel):
    """Body of `PUT /functions/{name}/traffic`."""

    model_config = ConfigDict(extra="forbid")

    revision: str


class _Rollout(BaseModel):
    """Body of `PUT /functions/{name}/rollout`."""

    model_config = ConfigDict(extra="forbid")

    revision: Annotated[str, Field(pattern=f"^{REVISION.pattern}$")]
    plan: Rollout = Rollout()
    run: str


class _Labels(BaseModel):
    """Body of `POST /functions/{name}/labels`: what is true of requests, by their ids."""

    model_config = ConfigDict(extra="forbid")

    labels: dict[str, Label]


class Host:
    """Answers requests about the functions of one state folder; `record` says who and where the host is.

    What the functions log of their predictions it takes to `store` (a URI); `gateway` declares its gateway, None where it has none.
    Raises HostError where the state was damaged from outside, PenstockError where the gateway's file is wrong, and OSError.
    """

    def __init__(
        self, state: StateFolder, record: HostRecord, limits: Limits, store: str, gateway: Path | None = None
    ) -> None:
        self._state = state
        self._record = record
        self._limits = limits
        self._pool = Pool(limits)
        self._background = Background()
        self._functions = Functions(state, limits, self._pool, self._background)
        self._whisk = OpenWhisk(state, self._pool, limits, self._background)
        self._whisk.open()
        self._proxy = Proxy(self._functions, limits, self._background)
        self._compaction = Compaction(state.predictions, store, limits)
        self.gateway = (
            None if gateway is None else Gateway(gateway, state, self._functions, self._proxy, limits)
        )
        self._token = state.token().encode()

    def app(self, *, loopback: bool) -> App:
        """The ASGI application; with `loopback` it answers only those who call it by a name of loopback."""
        guard = Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES, www_redirect=False)
        starlette = Starlette(
            routes=self.routes(),
            middleware=[guard] if loopback else [],
            exception_handlers={HostError: _refuse, OSError: _no_storage, HTTPException: _http_error},
            lifespan=self._lifespan,
        )
        port = urlsplit(self._record.url).port
        names = frozenset(f"{name}:{port}".encode() for name in LOOPBACK_NAMES)
        return App(starlette, self._proxy, names if loopback else None)

    def routes(self) -> list[BaseRoute]:
        """All that it answers."""
        revision = "/functions/{name}/revisions/{revision}"
        return [
            Route("/functions/{name}/predict", self._forward("predict"), methods=["POST"]),
            Route("/health", self._health),
            Route("/functions", self._list),
            Route("/functions/{name}", self._status),
            Route("/functions/{name}", self._changing(self._remove), methods=["DELETE"]),
            Route(revision, self._changing(self._put), methods=["PUT"]),
            Route(revision, self._changing(self._remove_revision), methods=["DELETE"]),
            Route("/functions/{name}/traffic", self._changing(self._route), methods=["PUT"]),
            Route("/functions/{name}/rollout", self._changing(self._roll_out), methods=["PUT"]),
            *(
                Route(
                    f"/functions/{{name}}/rollout/{action}",
                    self._changing(self._steer(action)),
                    methods=["POST"],
                )
                for action in ACTIONS
            ),
            Route("/functions/{name}/labels", self._changing(self._label), methods=["POST"]),
            Route("/functions/{name}/logs", self._logs),
            *(Route(f"/functions/{{name}}/{path}", self._forward(path)) for path in _PROXIED),
            Route(f"/functions/{{name}}/{METRICS}", self._metrics),
            # The Open Inference Protocol, whose paths name the model too.
            Route("/functions/{name}/v2{rest:path}", self._infer, methods=["GET", "POST"]),
            Route("/namespaces", self._changing(self._namespaces)),
            Route("/namespaces/{name}", self._changing(self._issue), methods=["PUT"]),
            Route("/namespaces/{name}", self._changing(self._remove_namespace), methods=["DELETE"]),
            Mount("/api/v1", app=Api(self._whisk, self._limits).app()),
            *(
                Route(path, self._changing(call), methods=[method])
                for method, path, call in Administration(self.gateway, self._limits).calls()
            ),
        ]

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._background.spawn(self._pool.watch())
        self._functions.start()
        self._compaction.start()
        try:
            yield
        finally:
            await self._compaction.close()
            await self._background.close()
            await asyncio.gather(self._functions.close(), self._whisk.close())
            self._proxy.close()
            if self.gateway is not None:
                self.gateway.close()

    def _changing(self, handler: _Handler) -> _Handler:
        """Only for those who know the token."""

        async def guarded(request: Request) -> Response:
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            # Compared in constant time, and before anything else of the request is looked at.
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
                raise HostError(
                    401,
                    "this call changes the host and its bearer token is missing or wrong",
                    next_step="send `Authorization: Bearer <token>` with what the file `token` of the host's state "
                    "folder holds",
                )
            return await handler(request)

        return guarded

    def _forward(self, path: str) -> _Handler:
        async def forward(request: Request) -> Response:
            return await self._proxy.forward(_name(request), path, request)

        return forward

    async def _metrics(self, request: Request) -> Response:
        # Whoever reads them every few seconds would start each function for it.
        if self._functions.at_zero(_name(request)):
            return PlainTextResponse("")
        return await self._proxy.forward(_name(request), METRICS, request)

    async def _infer(self, request: Request) -> Response:
        rest = request.path_params["rest"]
        if not _INFERENCE.fullmatch(rest):
            raise HTTPException(404)
        return await self._proxy.forward(_name(request), f"v2{rest}", request)

    async def _health(self, request: Request) -> Response:
        # Who it is, so that a client can tell this host from a stranger on its old port.
        return JSONResponse({"status": "ok", "pid": self._record.pid, "birth": self._record.birth})

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"functions": [self._status_of(name) for name in self._functions.names()]})

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self._status_of(_name(request)))

    def _status_of(self, name: str) -> dict[str, object]:
        return self._functions.status(name, f"{self._record.url}/functions/{name}").model_dump()

    async def _put(self, request: Request) -> Response:
        name, revision = _name(request), _revision(request)
        folder = self._state.staging()
        try:
            archive = folder / "package.zip"
            await save_body(
                request, archive, limit=self._limits.upload_bytes, seconds=self._limits.upload_seconds
            )
            created = await self._functions.put(name, revision, archive)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder)
        return JSONResponse({"name": name, "revision": revision}, 201 if created else 200)

    async def _route(self, request: Request) -> Response:
        name = _name(request)
        body = await read_body(request, limit=65536, seconds=self._limits.body_seconds)
        wanted = _read(_Traffic, body, '{"revision": …}')
        if not REVISION.fullmatch(wanted.revision):
            raise _malformed("revision", wanted.revision)
        await self._functions.route(name, wanted.revision)
        return JSONResponse(self._status_of(name))

    async def _roll_out(self, request: Request) -> Response:
        name = _name(request)
        body = await read_body(request, limit=65536, seconds=self._limits.body_seconds)
        asked = _read(_Rollout, body, '{"revision": …, "plan": …, "run": …}')
        await self._functions.roll_out(name, asked.revision, asked.plan, asked.run)
        return JSONResponse(self._status_of(name))

    async def _label(self, request: Request) -> Response:
        name, most = _name(request), self._limits.labels
        body = await read_body(request, limit=self._limits.labels_bytes, seconds=self._limits.body_seconds)
        labels = _read(_Labels, body, '{"labels": {"ID": …}}').labels
        if len(labels) > most:
            raise HostError(
                413,
                f"the body has {len(labels)} labels, expected at most {most}",
                next_step="send them in parts",
            )
        return JSONResponse(self._functions.label(name, labels)._asdict())

    def _steer(self, action: Action) -> _Handler:
        async def steer(request: Request) -> Response:
            name = _name(request)
            await self._functions.steer(name, action)
            return JSONResponse(self._status_of(name))

        return steer

    async def _remove(self, request: Request) -> Response:
        await self._functions.remove(_name(request))
        return Response(status_code=204)

    async def _remove_revision(self, request: Request) -> Response:
        await self._functions.remove_revision(_name(request), _revision(request))
        return Response(status_code=204)

    async def _namespaces(self, request: Request) -> Response:
        return JSONResponse({"namespaces": self._whisk.namespaces.names()})

    async def _issue(self, request: Request) -> Response:
        name = _name(request)
        return JSONResponse({"namespace": name, "key": await self._whisk.issue(name)})

    async def _remove_namespace(self, request: Request) -> Response:
        await self._whisk.remove_namespace(_name(request))
        return Response(status_code=204)

    async def _logs(self, request: Request) -> Response:
        given = request.query_params.get("lines", "100")
        most = whole(given)
        if most is None or not 1 <= most <= _MAX_LOG_LINES:
            said = f"lines is {given[:80]!r}: expected a whole number from 1 to {_MAX_LOG_LINES}"
            raise HostError(422, said)
        lines = self._functions.log_tail(_name(request), most)
        return PlainTextResponse("".join(f"{line}\n" for line in lines))


class App:
    """The host's ASGI application, before which most requests of `POST /functions/{name}/predict` are answered.

    With `names` only where the Host header is one of them: the application's guard knows what to make of others.
    """

    def __init__(self, starlette: ASGIApp, proxy: Proxy, names: Collection[bytes] | None) -> None:
        self._starlette = starlette
        self._proxy = proxy
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._starlette(scope, receive, send)

    def take(self, asked: Whole) -> bool:
        """Answer it, where that needs nothing but a ready process. See `Whole`."""
        predict = _PREDICT.fullmatch(asked.target)
        if predict is None:
            return False
        if self._names is not None:
            for header, value in asked.headers:
                if header == b"host":
                    if value not in self._names:
                        return False
                    break
            else:
                return False
        name = predict[1].decode("ascii")
        return self._proxy.take(
            name,
            asked.headers,
            asked.body,
            asked.answer,
            lambda error: asked.answer(*parts_of(error.response())),
        )


def _read(model: type[_Body], body: bytes, expected: str) -> _Body:
    """The body as that model. Raises HostError (422) with the first fault."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part)[:80] for part in fault["loc"]) or "the whole"
        raise HostError(422, f"the body is not {expected}: {where}: {fault['msg']}") from error


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if not NAME.fullmatch(name):
        raise _malformed("function", name)
    return name


def _revision(request: Request) -> str:
    revision: str = request.path_params["revision"]
    if not REVISION.fullmatch(revision):
        raise _malformed("revision", revision)
    return revision


def _malformed(what: str, given: str) -> HostError:
    expected = NAME if what == "function" else REVISION
    return HostError(422, f"{given[:80]!r} is no name of a {what}: expected {expected.pattern}")


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HostError)
    return error.response()


async def _no_storage(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return storage_error(error, f"answering {request.method} {request.url.path}").response()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {"error": f"{request.method} {request.url.path}: {error.detail}", "next_step": None},
        error.status_code,
        error.headers,
    )
