"""The function over HTTP: predictions by three protocols, their description, health and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock_function import open_inference_http, openapi
from penstock_function.exchange import Reply, begun, headers_of, read_body, serve
from penstock_function.metrics import CONTENT_TYPE
from penstock_function.openwhisk import Init, Run
from penstock_function.records import describe
from penstock_function.service import MAX_RECORDS, Refusal, Service
from penstock_function.whole import Whole

# Parsed JSON takes up to 25 times its bytes, so this bounds a request to some 200 MB and a second of work.
MAX_BODY = 8 * 2**20

# The page may do no more than show itself and call this function.
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'"


class Predict:
    """`POST /predict` as an ASGI app of its own, as Starlette's request and response cost a third of a call."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service

        async def work() -> Reply:
            body = await read_body(scope, receive, MAX_BODY)
            if scope["query_string"] and _explained(scope["query_string"]):
                rows = len(service.served().inputs) + 1
                answer, logged = await service.work(service.explain_json, body, times=rows)
            else:
                answer, logged = await service.answer(body)
            return Reply(200, answer, rows=logged)

        await serve(service, "/predict", scope, send, work)

    def take(self, asked: Whole) -> bool:
        """Answer a small record that needs no more than the model, as most do. See `penstock_function.whole`."""
        service = self._service
        call, headers = begun(service, "/predict", asked.headers)
        row = service.row_in(asked.body)
        if row is None:
            return False

        def done(answer: dict[str, Any] | None) -> None:
            try:
                body, rows = service.told(asked.body, answer)
                reply = Reply(200, body, rows=rows)
            except Refusal as refusal:
                call.failed(refusal.kind)
                reply = Reply.refusing(refusal)
            except Exception as error:
                reply = Reply.refusing(call.fault(error))
            asked.answer(reply.status, headers_of(reply, headers), reply.body)
            call.answered(reply.status, reply.rows)

        service.batches.add(row, done)
        return True


def _explained(query: bytes) -> bool:
    """Whether a query says `explain=true`. Raises Refusal (422) where it says neither that nor `explain=false`."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("explain", ["false"])[-1]
    if given not in ("true", "false"):
        raise Refusal(422, "input", f"explain is {describe(given)}, expected true or false")
    return given == "true"


class Pages:
    """What a person, a probe or a scraper reads about the function."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, _: Request) -> Response:
        """200 once the package has proved itself, otherwise 503 with the reason."""
        package = self._service.package
        if package is None:
            return self._json({"status": "not ready", "reason": self._service.reason}, 503)
        told = {name: getattr(package, name) for name in ("name", "version", "revision", "key")}
        return self._json({"status": "ready", **told})

    async def openapi(self, _: Request) -> Response:
        """The OpenAPI document of this model."""
        return self._json(
            openapi.describe(self._service.served(), self._service.steps, MAX_BODY, MAX_RECORDS)
        )

    async def docs(self, _: Request) -> Response:
        """A page that shows the description and sends requests; it needs nothing from any other server."""
        headers = {"content-security-policy": _PAGE_POLICY}
        return Response(self._page, media_type="text/html", headers=headers)

    async def metrics(self, _: Request) -> Response:
        """All metrics for Prometheus."""
        return Response(self._service.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def refusal(self, _: Request, refusal: Exception) -> Response:
        """What a page cannot tell, as every protocol says it."""
        assert isinstance(refusal, Refusal)
        return self._json(refusal.body(), refusal.status)

    async def error(self, request: Request, error: Exception) -> Response:
        """An unknown path or method, in the same form as every other error."""
        assert isinstance(error, HTTPException)
        allowed = (error.headers or {}).get("Allow")
        hint = f"use {allowed}" if allowed else "GET /docs shows what is"
        sentence = f"{request.method} {request.url.path[:200]} is not served ({error.detail}): {hint}"
        response = self._json({"error": sentence}, error.status_code)
        response.headers.update(error.headers or {})
        return response

    @cached_property
    def _page(self) -> bytes:
        return resources.files("penstock_function").joinpath("docs.html").read_bytes()

    def _json(self, content: object, status: int = 200) -> Response:
        response = Response(orjson.dumps(content), status, media_type="application/json")
        for name, value in self._service.headers:
            response.headers[name.decode("ascii")] = value.decode("ascii")
        return response


class App:
    """The ASGI app; the calls that matter for speed do not pass through Starlette's routing and middleware, nor most of them through ASGI."""

    def __init__(self, starlette: ASGIApp, predict: Predict, calls: Mapping[str, ASGIApp]) -> None:
        self._starlette = starlette
        self._predict = predict
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = None
        if scope["type"] == "http" and scope["method"] == "POST":
            call = self._calls.get(scope["path"])
        await (call or self._starlette)(scope, receive, send)

    def take(self, asked: Whole) -> bool:
        """See `Predict.take`."""
        return asked.target == b"/predict" and self._predict.take(asked)


def build(service: Service) -> App:
    """The app that serves `service`."""
    pages = Pages(service)
    init, predict = Init(service), Predict(service)
    calls: dict[str, ASGIApp] = {"/predict": predict, "/init": init, "/run": Run(service, init)}
    starlette = Starlette(
        routes=[
            *(Route(path, call, methods=["POST"]) for path, call in calls.items()),
            Route("/health", pages.health),
            Route("/openapi.json", pages.openapi),
            Route("/docs", pages.docs),
            Route("/metrics", pages.metrics),
            *open_inference_http.routes(service, MAX_BODY),
        ],
        exception_handlers={HTTPException: pages.error, Refusal: pages.refusal},
    )

    # A path with a slash too many is unknown; a redirect would lead past a proxy's prefix.
    starlette.router.redirect_slashes = False
    return App(starlette, predict, calls)
