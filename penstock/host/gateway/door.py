"""One route of the gateway: who may come in, how often, and what of a request reaches the function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.host.errors import HostError
from penstock.host.gateway import refusals
from penstock.host.gateway.access_log import SEEN, Seen, seen
from penstock.host.gateway.callers import KEY_HEADER, Caller, Callers
from penstock.host.gateway.config import Auth, Route
from penstock.host.gateway.rates import Bucket, Limiter, Rate, Verdict
from penstock.host.gateway.refusals import Refused
from penstock.host.manifest import REQUEST_ID, REVISION_HEADER
from penstock.host.proxy import Proxy, without
from penstock.host.upstream import Headers
from penstock.host.whole import Respond, Whole, parts_of

#: In the scope of a request: the page of the function that it asks for.
PAGE: Final = "penstock.page"
#: Tells a rollout whose requests belong together.
CALLER_HEADER: Final = "x-penstock-caller"

_NOT_PASSED = frozenset({b"connection", KEY_HEADER.encode(), REQUEST_ID.encode(), b"forwarded", b"x-real-ip"})
_NOT_SAID = (b"x-penstock-", b"x-forwarded-")
# What pages of other origins may send, and read of an answer.
_SENT = (KEY_HEADER, "authorization", REQUEST_ID, "traceparent", "inference-header-content-length")
_READ = ("ratelimit", "ratelimit-policy", "retry-after", REQUEST_ID, REVISION_HEADER, "x-penstock-version")


class Gate:
    """Knows callers, and how many requests each of them sent. `limit` is that of whoever has none of its own."""

    def __init__(self, callers: Callers, limiter: Limiter, limit: Rate | None) -> None:
        self._callers = callers
        self._limiter = limiter
        self._limit = limit

    def identify(self, auth: Auth, request: Request) -> Caller:
        """Whoever sends the request, which the log has as well. Raises Refused (401)."""
        caller = self._callers.identify(auth, request)
        seen(request.scope).caller = caller.name
        return caller

    def admit(self, caller: Caller, own: Sequence[Bucket] = ()) -> Verdict:
        """Count a request against the caller's limit and a route's `own`. Raises Refused (429)."""
        limit = caller.limit or self._limit
        of_caller = [] if limit is None else [Bucket("caller", caller.name, limit)]
        verdict = self._limiter.admit([*of_caller, *own])
        if not verdict.admitted:
            raise Refused(
                429,
                "the limit is used up",
                next_step=f"try again in {verdict.retry_after} s",
                retry_after=verdict.retry_after,
                headers=dict(verdict.headers),
            )
        return verdict


class Door:
    """Answers requests for one route, as an ASGI app."""

    def __init__(self, route: Route, gate: Gate, proxy: Proxy) -> None:
        self._route = route
        self._gate = gate
        self._proxy = proxy
        self._methods: dict[str, list[str]] = {}
        for call in route.calls:
            method, page = call.split(" ")
            self._methods.setdefault(page, []).append(method)

    def app(self) -> ASGIApp:
        """The app, with CORS for the origins that the route names."""
        if not self._route.origins:
            return self
        return CORSMiddleware(
            self,
            allow_origins=self._route.origins,
            allow_methods=sorted({call.split(" ")[0] for call in self._route.calls}),
            allow_headers=_SENT,
            expose_headers=_READ,
        )

    def take(self, asked: Whole, noted: Seen, answer: Respond) -> bool:
        """Answer a request for a prediction that came whole, where the host would; see `Proxy.take`. Of others nothing is counted."""
        route = self._route
        if route.revision is not None or "POST" not in self._methods.get("/predict", ()):
            return False
        scope = {
            "type": "http",
            "method": "POST",
            "headers": asked.headers,
            "client": asked.client,
            SEEN: noted,
        }
        request = Request(scope)
        if route.origins and "origin" in request.headers:
            return False
        if not self._proxy.would_take(route.function, asked.body):
            return False
        noted.route, noted.function = route.path, route.function
        try:
            caller, verdict = self._admitted(request)
        except Refused as error:
            answer(*parts_of(refusals.answer(error, request)))
            return True
        said = [(name.lower().encode(), value.encode()) for name, value in verdict.headers]

        def answered(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
            found = (value for name, value in headers if name == REVISION_HEADER.encode())
            noted.revision = next(found, b"").decode("latin-1") or None
            answer(status, with_others(headers, said), body)

        def refused(error: HostError) -> None:
            noted.error = error.message
            status, headers, body = parts_of(refusals.answer(refusals.behind(error), request))
            answer(status, with_others(headers, said), body)

        return self._proxy.take(route.function, _passed(scope, caller), asked.body, answered, refused)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        noted = seen(scope)
        noted.route, noted.function = self._route.path, self._route.function
        try:
            response = await self._answer(request)
            noted.revision = response.headers.get(REVISION_HEADER)
        except HostError as error:
            response = refusals.answer(error, request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        page = request.scope[PAGE]
        methods = self._methods.get(f"/{page.split('/')[1]}")
        if methods is None:
            raise refusals.not_found()
        if request.method not in methods:
            raise refusals.not_allowed(methods)
        caller, verdict = self._admitted(request)
        try:
            response = await self._passed_on(request, page, caller)
        except HostError as error:
            seen(request.scope).error = error.message
            response = refusals.answer(refusals.behind(error), request)
        response.headers.update(dict(verdict.headers))
        return response

    def _admitted(self, request: Request) -> tuple[Caller, Verdict]:
        """Whoever sends a request that is let in, and what its answer says of the limits. Raises Refused (401, 403, 429)."""
        caller = self._gate.identify(self._route.auth, request)
        if not self._route.opens_to(caller.key):
            raise Refused(403, "the key does not open this route", next_step="ask whoever gave it to you")
        rate = self._route.limit
        own = [] if rate is None else [Bucket("route", (caller.name, self._route.path), rate)]
        return caller, self._gate.admit(caller, own)

    async def _passed_on(self, request: Request, page: str, caller: Caller) -> Response:
        inner = Request({**request.scope, "headers": _passed(request.scope, caller)}, request.receive)
        return await self._proxy.forward(self._route.function, page[1:], inner, self._route.revision)


def with_others(headers: Sequence[tuple[bytes, bytes]], others: Headers) -> Headers:
    """The headers, with these in the place of their own of those names."""
    names = {name for name, _ in others}
    return [*(pair for pair in headers if pair[0] not in names), *others]


def _passed(scope: Scope, caller: Caller) -> Headers:
    """What of the headers is passed on, without what callers may not say of themselves, and with what is known of them.

    What Connection names goes first: named there, ours would go with it later.
    """
    kept = [
        (name, value)
        for name, value in without(scope["headers"], _NOT_PASSED)
        if not name.replace(b"_", b"-").startswith(_NOT_SAID)  # some servers take one for the other
    ]
    known = {REQUEST_ID: seen(scope).request_id, CALLER_HEADER: quote(caller.name, safe=":/@|")}
    return [*kept, *((name.encode(), value.encode()) for name, value in known.items())]
