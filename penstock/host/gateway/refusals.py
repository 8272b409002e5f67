"""How the gateway says no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from penstock.host.errors import HostError
from penstock.host.gateway.access_log import seen

#: What callers are told of a failure behind the gateway: the host's own words are for its operator.
_BEHIND: Final = {
    502: "the function gave no answer that could be passed on",
    503: "the function does not answer now",
    504: "the function did not answer in time",
}
#: What is wrong with a request's body; only that is for its caller to know.
_OF_THE_BODY: Final = frozenset({400, 408, 413})


class Refused(HostError):
    """A request that the gateway does not pass on, answered with these headers too."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        next_step: str,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, next_step=next_step, retry_after=retry_after)
        self._own = dict(headers or {})

    @property
    def headers(self) -> dict[str, str]:
        return super().headers | self._own


def not_found() -> Refused:
    """What nobody has opened is not there, whatever there may be behind it."""
    return Refused(404, "there is nothing at this path", next_step="GET /docs has all routes")


def not_allowed(methods: list[str]) -> Refused:
    """A path that is there, for other methods."""
    allowed = ", ".join(methods)
    return Refused(
        405, "the method is not served here", next_step=f"use {allowed}", headers={"Allow": allowed}
    )


def behind(error: HostError) -> HostError:
    """What a caller is told of that error of the host's, or of a function's."""
    if error.status in _OF_THE_BODY:
        return error
    status = error.status if error.status in _BEHIND else 503
    return HostError(status, _BEHIND[status], next_step="try again later", retry_after=error.retry_after)


def answer(error: HostError, request: Request) -> Response:
    """The error as an answer, which the log has as well."""
    noted = seen(request.scope)
    noted.error = noted.error or error.message
    headers = error.headers
    if request.method not in ("GET", "HEAD"):
        # The body may not have been read to its end: what follows on this connection is not the next request.
        headers["Connection"] = "close"
    return JSONResponse({"error": error.message, "next_step": error.next_step}, error.status, headers)
