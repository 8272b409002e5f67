"""The least that an ASGI app may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


async def answer(receive: Any, send: Any, make: Callable[[bytes], bytes]) -> None:
    """Read the whole body, and send what `make` makes of it."""
    message = await receive()
    body = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    made = make(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(made)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": made})
