"""A request that is whole, as the host's server has it (`penstock_function.whole`, beside which the host runs).

An application that has a method `take(Whole) -> bool` is shown each of them first. What it takes it answers, at once or later;
what it does not take comes to it as ASGI has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Headers = Sequence[tuple[bytes, bytes]]
#: Takes the status, the headers and the body of an answer.
Respond = Callable[[int, Headers, bytes], None]


class Whole(Protocol):
    """A POST request to `port`, a target with its query as it was sent; names of headers in lower case."""

    @property
    def port(self) -> int | None: ...
    @property
    def client(self) -> tuple[str, int] | None: ...
    @property
    def target(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def body(self) -> bytes: ...

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the answer, once; nothing where the client is gone."""


def parts_of(response: Response) -> tuple[int, Headers, bytes]:
    """A response as `answer` takes it."""
    return response.status_code, response.raw_headers, bytes(response.body)


class Application(Protocol):
    """One that is shown them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def take(self, asked: Whole) -> bool:
        """Whether it answers this."""
