"""One request, by whatever protocol it came: how it ends is counted, and logged where somebody must know."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from penstock_function import logs
from penstock_function.prediction_log import Row
from penstock_function.service import Refusal, Service
from penstock_function.step import StepError

#: By these a caller knows its request again, in the answer and in the log: its own id, and W3C's trace context.
TRACED = frozenset({"x-request-id", "traceparent"})

#: What of a request's own id is logged; a UUID has 36.
_ID_CHARACTERS = 128

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client went away before its request was complete: there is nobody to answer."""


class Call:
    """One request to `path`, one of the routes, that came now; `traced` is what it has of TRACED."""

    def __init__(self, service: Service, path: str, traced: Sequence[tuple[str, str]]) -> None:
        self._start = time.perf_counter()
        self._service = service
        self._path = path
        self._traced = traced

    async def outcome(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives.

        Raises:
            Refusal: that of `work`; 500 where it fails otherwise, which is logged.
            ClientGoneError: that of `work`.
        """
        try:
            return await work()
        except Refusal as refusal:
            self.failed(refusal.kind)
            raise
        except ClientGoneError:
            self.failed("client_gone")
            raise
        except Exception as error:
            raise self.fault(error) from error

    def fault(self, error: Exception) -> Refusal:
        """It failed by an error that is not the client's doing: the model's, a step's or this program's. What it is told; it goes on serving."""
        logs.failure(f"{self._path[1:]}_failed", error, **dict(self._traced))
        kind, sentence = "model", f"the model failed: {type(error).__name__}"
        if isinstance(error, StepError):
            kind, sentence = "step", str(error)
        self.failed(kind)
        return Refusal(500, kind, sentence)

    def failed(self, kind: str) -> None:
        """It got no answer; `kind` as in Refusal."""
        self._service.metrics.failed(kind)

    def answered(self, status: int | str, rows: Sequence[Row] = (), request_id: str | None = None) -> None:
        """It has been answered, with what its protocol calls `status`; `rows` of the answer are logged.

        `request_id` is what a protocol calls its request where `traced` does not say it.
        """
        seconds = time.perf_counter() - self._start
        self._service.metrics.answered(self._path, status, seconds)
        if rows:
            own = (value for name, value in self._traced if name == "x-request-id")
            named = next(own, request_id)
            self._service.log(rows, named and named[:_ID_CHARACTERS], seconds)
