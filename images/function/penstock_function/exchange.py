"""One HTTP request as ASGI messages: its body read within bounds, its answer sent with a stated length."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import Message, Receive, Scope, Send

from penstock_function.service import Body, Refusal

BODY_SECONDS = 30.0  # a client that takes longer to send its body is cut off

Headers = Iterable[tuple[bytes, bytes]]


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


async def respond(
    send: Send, status: int, body: bytes, headers: Headers = (), kind: bytes = b"application/json"
) -> None:
    """Send `body` in one piece."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", kind),
                (b"content-length", str(len(body)).encode("ascii")),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
