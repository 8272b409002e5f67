"""An ASGI app that scores, without a check, a metric or a log: what ONNX Runtime costs on top of a server."""

from __future__ import annotations

from typing import Any

import orjson
from asgi import answer
from model import Model

model = Model()


def score(body: bytes) -> bytes:
    """The answers to an array of records; a probe sends none."""
    return orjson.dumps(model.answer(orjson.loads(body)) if body else [])


async def app(scope: Any, receive: Any, send: Any) -> None:
    await answer(receive, send, score)
