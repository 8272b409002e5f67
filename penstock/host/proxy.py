"""Passes one request on to a function's process and its answer back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response

from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.limits import Limits
from penstock.host.manifest import REVISION_HEADER
from penstock.host.upload import read_body
from penstock.host.upstream import Connections, Ended, TooLarge

# RFC 9110, 7.6.1: they speak of one connection, not of the message. And Proxy-Connection, which clients still send.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade".split()
)
# Set anew for the next hop; and credentials, which are the host's business and none of the function's.
_NOT_SENT = _HOP_BY_HOP | {b"host", b"content-length", b"expect", b"authorization", b"cookie"}
_NOT_RETURNED = _HOP_BY_HOP | {b"content-length", b"date", b"server"}


#: A function's page that is read at intervals, whether or not anybody asks the function.
METRICS = "metrics"


class Proxy:
    """Open connections to all functions."""

    def __init__(self, functions: Functions, limits: Limits) -> None:
        self._functions = functions
        self._limits = limits
        # A runtime closes idle connections after 5 s (uvicorn); given up sooner here, none is used as it closes.
        self._connections = Connections(limits.response_bytes, idle_seconds=3.0)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    async def forward(self, name: str, path: str, request: Request) -> Response:
        """The answer of the live revision of `name` to this request for `path`.

        Raises HostError: 404, 408 and 413 for the request, 503 when the function is down, 504 when it does not
        answer in time, 502 when its answer is too large.
        """
        # The body first: a slow sender holds up neither a switch nor a function that is to stop.
        body = await read_body(request, limit=self._limits.request_bytes, seconds=self._limits.body_seconds)
        headers = _without(request.headers.raw, _NOT_SENT)
        target = f"/{path}".encode("ascii")
        if query := request.scope["query_string"]:
            target += b"?" + query
        async with self._functions.lease(name, use=path != METRICS) as runner:
            assert runner.port is not None
            try:
                async with asyncio.timeout(self._limits.answer_seconds):
                    answer = await self._connections.ask(runner.port, request.method, target, headers, body)
            except TimeoutError:
                raise HostError(
                    504,
                    f"{name} did not answer within {self._limits.answer_seconds:g} s",
                    next_step="send fewer records at once",
                ) from None
            except TooLarge:
                raise HostError(
                    502,
                    f"the answer of {name} has more than {self._limits.response_bytes} bytes",
                    next_step="send fewer records at once",
                ) from None
            except Ended as error:
                raise HostError(
                    503,
                    f"{name} ended before it answered: {error}",
                    next_step=f"try again; GET /functions/{name}/logs says what it printed",
                    retry_after=runner.retry_after,
                ) from error
        response = Response(answer.content, answer.status)
        own = [pair for pair in response.raw_headers if pair[0] == b"content-length"]
        response.raw_headers = [
            *_without(answer.headers, _NOT_RETURNED),
            *own,
            (REVISION_HEADER.encode(), runner.revision.encode()),
        ]
        return response


def _without(headers: Iterable[tuple[bytes, bytes]], left_out: frozenset[bytes]) -> list[tuple[bytes, bytes]]:
    """The headers less those left out and those that a Connection header names as its own."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower() for name, value in pairs if name == b"connection" for token in value.split(b",")
    }
    return [(name, value) for name, value in pairs if name not in left_out and name not in named]
