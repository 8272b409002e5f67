"""One HTTP request as ASGI messages: its body read within bounds, its answer sent with a stated length."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
from starlette.types import Message, Receive, Scope, Send

from penstock_function.call import TRACED, Call, ClientGoneError
from penstock_function.prediction_log import Row
from penstock_function.service import Body, Refusal, Service
from penstock_function.whole import Headers

BODY_SECONDS = 30.0  # a client that takes longer to send its body is cut off


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent, a status, a body with its type, and headers beside the usual ones; and what is logged of it."""

    status: int
    body: bytes
    headers: Headers = ()
    kind: bytes = b"application/json"
    #: What of the answer goes to the prediction log.
    rows: Sequence[Row] = ()
    #: What a protocol calls its request where no header does: the id of an activation.
    request_id: str | None = None

    @classmethod
    def refusing(cls, refusal: Refusal) -> Reply:
        """A refusal in the form that /predict has."""
        return cls(refusal.status, orjson.dumps(refusal.body()))


async def read_body(scope: Scope, receive: Receive, limit: int) -> Body:
    """The body, of at most `limit` bytes.

    Raises:
        Refusal: 413 as soon as more than `limit` bytes are announced or have come, 408 after BODY_SECONDS.
        ClientGoneError: the client went away.
    """
    for name, value in scope["headers"]:
        # A false or absent length is no harm: what comes is counted as well.
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise _too_large(limit)
    try:
        # Before its first piece, too: who announces a body and sends nothing would hold the connection for ever.
        async with asyncio.timeout(BODY_SECONDS):
            message = await _next(receive)
            body: Body = message.get("body", b"")
            if message.get("more_body", False):
                return await _rest(receive, bytearray(body), limit)
    except TimeoutError as error:
        raise too_late() from error
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _rest(receive: Receive, body: bytearray, limit: int) -> bytearray:
    more = True
    while more:
        message = await _next(receive)
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return body


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGoneError
    return message


def too_late() -> Refusal:
    """What BODY_SECONDS were not enough for."""
    return Refusal(408, "timeout", f"the body did not arrive within {BODY_SECONDS:g} seconds")


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "size", f"the body is larger than {limit} bytes: send fewer records in a request")


#: As the names of headers come.
_TRACED = frozenset(name.encode("ascii") for name in TRACED)


async def serve(
    service: Service,
    path: str,
    scope: Scope,
    send: Send,
    work: Callable[[], Awaitable[Reply]],
    refusing: Callable[[Refusal], Reply] = Reply.refusing,
    before_reply: Callable[[], None] = lambda: None,
) -> None:
    """Send what `work` gives, or `refusing` makes of its refusal; count it under `path`, one of the routes."""
    call, headers = begun(service, path, scope["headers"])
    try:
        reply = await call.outcome(work)
    except Refusal as refusal:
        reply = refusing(refusal)
        if refusal.retry_after is not None:
            headers = [*headers, (b"retry-after", str(refusal.retry_after).encode("ascii"))]
        if refusal.status == 408:  # who sends the rest of it byte by byte would keep the connection
            headers = [*headers, (b"connection", b"close")]
    except ClientGoneError:
        before_reply()
        return
    before_reply()
    await respond(send, reply, headers)
    call.answered(reply.status, reply.rows, reply.request_id)


def begun(service: Service, path: str, headers: Headers) -> tuple[Call, Headers]:
    """A request to `path` that has these headers; and those that its answer has whatever it says."""
    traced = [pair for pair in headers if pair[0] in _TRACED]
    call = Call(service, path, [(name.decode("ascii"), value.decode("latin-1")) for name, value in traced])
    return call, [*service.headers, *traced]


async def respond(send: Send, reply: Reply, headers: Headers) -> None:
    """Send a reply in one piece, with the service's headers."""
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": headers_of(reply, headers),
        }
    )
    await send({"type": "http.response.body", "body": reply.body})


def headers_of(reply: Reply, headers: Headers) -> Headers:
    """All that a reply is sent with."""
    return [
        (b"content-type", reply.kind),
        (b"content-length", b"%d" % len(reply.body)),
        *headers,
        *reply.headers,
    ]
