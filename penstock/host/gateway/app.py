"""The gateway's HTTP API: the routes of its configuration, their description, and nothing else of the host."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.errors import PenstockError
from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.gateway import config, refusals
from penstock.host.gateway.access_log import AccessLog
from penstock.host.gateway.callers import Callers
from penstock.host.gateway.config import PAGES, Config
from penstock.host.gateway.description import Descriptions, describe
from penstock.host.gateway.door import PAGE, Door, Gate, with_others
from penstock.host.gateway.keys import Keys
from penstock.host.gateway.rates import Limiter
from penstock.host.limits import Limits
from penstock.host.manifest import REQUEST_ID
from penstock.host.proxy import Proxy
from penstock.host.state import StateFolder
from penstock.host.whole import Whole

# Below /v2, names and words.
_PAGE: Final = r"/predict|/health|/v2(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*"
_HOST: Final = re.compile(r"([^:]+)(?::[0-9]+)?", re.ASCII)
# The page may do no more than show itself and call what is described.
_PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'"


@dataclass(frozen=True)
class _Open:
    """What follows from a configuration: `path` matches exactly what its routes open, `doors` are by the route's path."""

    config: Config
    gate: Gate
    path: re.Pattern[str]
    doors: dict[str, Door]
    apps: dict[str, ASGIApp]
    names: frozenset[str]
    guarded: ASGIApp


class Gateway:
    """The ASGI application of the gateway that is declared in the file `path`.

    Raises PenstockError where the file is wrong, HostError where its keys were damaged.
    """

    def __init__(
        self, path: Path, state: StateFolder, functions: Functions, proxy: Proxy, limits: Limits
    ) -> None:
        folder = state.root / "gateway"
        self.keys = Keys(folder / "keys.json")
        self._path = path
        self._proxy = proxy
        self._limits = limits
        self._limiter = Limiter()
        self._descriptions = Descriptions(state, functions, proxy)
        self._log = AccessLog(folder / "access.log", limits.gateway_log_bytes)
        self._requests = 0
        self._docs = resources.files(__package__).joinpath("docs.html").read_text("utf-8")
        self._open = self._opened(config.read(path))

    @property
    def config(self) -> Config:
        """What holds now."""
        return self._open.config

    async def reload(self) -> None:
        """Read the file again: from then on it holds. Raises HostError (422); then all is as it was."""
        try:
            wanted = await asyncio.to_thread(config.read, self._path)
            opened = await asyncio.to_thread(self._opened, wanted)
        except PenstockError as error:
            raise HostError(422, error.message, next_step=error.next_step) from error
        if (wanted.bind, wanted.port) != (self.config.bind, self.config.port):
            raise HostError(
                422,
                f"{self._path}: bind and port are {wanted.bind} {wanted.port}, and {self.config.bind} {self.config.port} "
                "as long as the host runs",
                next_step="put them back, or start the host again",
            )
        self._open = opened

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def take(self, asked: Whole) -> bool:
        """Answer a request for a prediction that came whole by a name of the gateway's, where its route's door does. See `Whole`."""
        now, began = self._open, time.perf_counter()
        found = now.path.fullmatch(asked.target.decode("latin-1")) if now.doors else None
        if found is None or found[2] != "/predict" or self._requests >= self._limits.gateway_requests:
            return False
        given = Headers(raw=list(asked.headers))
        # The guard knows patterns, and what to say to the others.
        host = _HOST.fullmatch(given.get("host", ""))
        if host is None or not now.names & {"*", host[1]}:
            return False
        noted = self._log.begun(given)

        def answer(status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
            self._requests -= 1
            asked.answer(
                status, with_others(headers, [(REQUEST_ID.encode(), noted.request_id.encode())]), body
            )
            self._log.ended(asked.client, "POST", asked.target, began, noted, status, len(body))

        self._requests += 1
        taken = now.doors[found[1]].take(asked, noted, answer)
        if not taken:
            self._requests -= 1
        return taken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._log.around(self._open.guarded, scope, receive, send)

    def _opened(self, wanted: Config) -> _Open:
        tokens = None
        if wanted.jwt is not None:
            # Where tokens are taken, and only there, their library is needed.
            from penstock.host.gateway.tokens import Tokens

            tokens = Tokens(wanted.jwt, self._path.parent)
        gate = Gate(Callers(self.keys, tokens), self._limiter, wanted.limit)
        doors = {route.path: Door(route, gate, self._proxy) for route in wanted.routes}
        paths = "|".join(map(re.escape, doors))
        return _Open(
            config=wanted,
            gate=gate,
            path=re.compile(f"({paths})({_PAGE})", re.ASCII),
            doors=doors,
            names=frozenset(wanted.names),
            apps={path: door.app() for path, door in doors.items()},
            guarded=TrustedHostMiddleware(self._answer, allowed_hosts=wanted.names, www_redirect=False),
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        now = self._open
        # As it was sent: what is escaped, doubled or goes up is none of the paths that are open.
        raw = scope["raw_path"].decode("latin-1")
        request = Request(scope, receive)
        try:
            if self._requests >= self._limits.gateway_requests:
                raise HostError(503, "too many requests are in work", next_step="try again", retry_after=1)
            self._requests += 1
            try:
                if raw in PAGES:
                    app: ASGIApp = await self._page(raw, request, now)
                elif now.doors and (found := now.path.fullmatch(raw)):
                    scope[PAGE] = found[2]
                    app = now.apps[found[1]]
                else:
                    raise refusals.not_found()
                await app(scope, receive, send)
            finally:
                self._requests -= 1
        except HostError as error:
            await refusals.answer(error, request)(scope, receive, send)

    async def _page(self, path: str, request: Request, now: _Open) -> Response:
        """One of the gateway's own pages. Raises HostError."""
        if request.method != "GET":
            raise refusals.not_allowed(["GET"])
        if path == "/health":
            return JSONResponse({"status": "ok"})
        if path == "/docs":
            return HTMLResponse(self._docs, headers={"content-security-policy": _PAGE_POLICY})
        caller = now.gate.identify(now.config.docs, request)
        verdict = now.gate.admit(caller)
        shown = [route for route in now.config.routes if route.opens_to(caller.key)]
        described = await self._descriptions.of(shown)
        return JSONResponse(describe(now.config, described), headers=dict(verdict.headers))
