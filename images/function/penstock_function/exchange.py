"""One HTTP request as ASGI messages: its body read within bounds, its answer sent with a stated length.

Whatever the protocol, a request ends as an answer, as a refusal, as a failure that is logged, or without a client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
from starlette.types import Message, Receive, Scope, Send

from penstock_function import logs
from penstock_function.prediction_log import Row
from penstock_function.service import Body, Refusal, Service
from penstock_function.step import StepError

BODY_SECONDS = 30.0  # a client that takes longer to send its body is cut off

Headers = Sequence[tuple[bytes, bytes]]


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


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete: there is nobody to answer."""


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
    message = await _next(receive)
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):  # the usual case, without the cost of a timeout
        if len(body) > limit:
            raise _too_large(limit)
        return body
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _rest(receive, bytearray(body), limit)
    except TimeoutError as error:
        raise Refusal(408, "timeout", f"the body did not arrive within {BODY_SECONDS:g} seconds") from error


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


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "size", f"the body is larger than {limit} bytes: send fewer records in a request")


#: By these a caller knows its request again, in the reply and in the log: its own id, and W3C's trace context.
_TRACED = frozenset({b"x-request-id", b"traceparent"})

#: What of a request's own id is logged; a UUID has 36.
_ID_CHARACTERS = 128


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
    start = time.perf_counter()
    traced = [pair for pair in scope["headers"] if pair[0] in _TRACED]
    headers = [*service.headers, *traced]
    try:
        reply = await work()
    except Refusal as refusal:
        service.metrics.failed(refusal.kind)
        reply = refusing(refusal)
        if refusal.retry_after is not None:
            headers = [*headers, (b"retry-after", str(refusal.retry_after).encode("ascii"))]
    except ClientGoneError:
        service.metrics.failed("client_gone")
        before_reply()
        return
    except Exception as error:
        # Not the client's doing: the model, a step or this program failed. Say so, and go on serving.
        ids = {name.decode("ascii"): value.decode("ascii", "replace") for name, value in traced}
        logs.failure(f"{path[1:]}_failed", error, **ids)
        kind, sentence = "model", f"the model failed: {type(error).__name__}"
        if isinstance(error, StepError):
            kind, sentence = "step", str(error)
        service.metrics.failed(kind)
        reply = Reply(500, orjson.dumps({"error": sentence}))
    before_reply()
    await respond(send, reply, headers)
    seconds = time.perf_counter() - start
    service.metrics.answered(path, reply.status, seconds)
    if reply.rows:
        own = (value.decode("latin-1") for name, value in traced if name == b"x-request-id")
        named = next(own, reply.request_id)
        service.log(reply.rows, named and named[:_ID_CHARACTERS], seconds)


async def respond(send: Send, reply: Reply, headers: Headers) -> None:
    """Send a reply in one piece, with the service's headers."""
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [
                (b"content-type", reply.kind),
                (b"content-length", str(len(reply.body)).encode("ascii")),
                *headers,
                *reply.headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": reply.body})
