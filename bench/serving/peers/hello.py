"""An ASGI app that reads a body and answers: what a server costs."""

from __future__ import annotations

from typing import Any

from asgi import answer


async def app(scope: Any, receive: Any, send: Any) -> None:
    await answer(receive, send, lambda body: b'{"hello": "world"}')
