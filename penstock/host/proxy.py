"""Passes one request on to a function's process and its answer back."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from penstock.host.background import Background
from penstock.host.errors import HostError
from penstock.host.functions import Functions
from penstock.host.limits import Limits
from penstock.host.manifest import REQUEST_ID, REVISION_HEADER
from penstock.host.rolling import Rolling
from penstock.host.runner import Runner
from penstock.host.upload import read_body
from penstock.host.upstream import Answer, Connections, Ended, Headers, Outcome, TooLarge
from penstock.host.whole import Respond
from penstock.rollout.dealt import FAILED, Seen, answer_in

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

_REQUEST_ID, _REVISION = REQUEST_ID.encode(), REVISION_HEADER.encode()

#: What a rollout deals out: requests for predictions. A path of the Open Inference Protocol that names a version is that one's.
_PREDICTS = re.compile(r"predict|v2/models/[^/]+/infer")


@dataclass(frozen=True)
class _Asked:
    """A request as a process is asked it."""

    method: str
    target: bytes
    headers: Headers
    body: bytes

    @property
    def request_id(self) -> str | None:
        """Its own, of a request for predictions."""
        return next((value.decode("latin-1") for name, value in self.headers if name == _REQUEST_ID), None)


class Proxy:
    """Open connections to all functions."""

    def __init__(self, functions: Functions, limits: Limits, background: Background) -> None:
        self._functions = functions
        self._limits = limits
        self._background = background
        # A runtime closes idle connections, though not for half a minute: given up sooner here, none is used as it closes.
        self._connections = Connections(limits.response_bytes, limits.answer_seconds, idle_seconds=3.0)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    async def forward(self, name: str, path: str, request: Request, revision: str | None = None) -> Response:
        """The answer of the live revision of `name` to this request for `path`, or of `revision`; of the candidate's where a rollout
        deals the live one's to it.

        Raises HostError: 404, 408 and 413 for the request, 503 when the function is down, 504 when it does not
        answer in time, 502 when its answer is too large.
        """
        # The body first: a slow sender holds up neither a switch nor a function that is to stop.
        body = await read_body(request, limit=self._limits.request_bytes, seconds=self._limits.body_seconds)
        target = f"/{path}".encode("ascii")
        if query := request.scope["query_string"]:
            target += b"?" + query
        asked = _Asked(request.method, target, without(request.headers.raw, _NOT_SENT), body)
        predicts = revision is None and request.method == "POST" and _PREDICTS.fullmatch(path)
        if predicts:
            _with_id(asked.headers)
        if predicts and (rolling := self._functions.rolling(name)) is not None:
            sticky = rolling.course.record.plan.sticky
            return await self._forward_in_rollout(
                name, rolling, asked, request.headers.get(sticky) if sticky else None
            )
        async with self._functions.lease(name, revision, use=path != METRICS) as runner:
            return _response(await self._ask(name, runner, asked), runner)

    def would_take(self, name: str, body: bytes) -> bool:
        """Whether `take` would do it now."""
        found = self._ready(name, body)
        return found is not None and self._connections.idle(found[1])

    def take(
        self,
        name: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        answered: Respond,
        refused: Callable[[HostError], None],
    ) -> bool:
        """As `forward` does a request for a prediction, where a ready process and a connection to it are all that it needs.

        Whether it does; then one of `answered`, with a status, headers and a body, and `refused` is called once. See
        `penstock.host.whole`.
        """
        found = self._ready(name, body)
        if found is None:
            return False
        runner, port = found

        def done(outcome: Outcome) -> None:
            runner.used = time.monotonic()
            runner.went()
            if isinstance(outcome, Answer):
                length = (b"content-length", b"%d" % len(outcome.content))
                answered(outcome.status, [length, *_returned(outcome, runner)], outcome.content)
            else:
                refused(self._fault(name, runner, outcome))

        sent = _with_id(without(headers, _NOT_SENT))
        if not self._connections.begin(port, "POST", b"/predict", sent, body, done):
            return False
        runner.came()
        return True

    def _ready(self, name: str, body: bytes) -> tuple[Runner, int] | None:
        """The process that answers such a request at once, with its port; None where there is none, or the request is not one to answer."""
        runner = self._functions.ready(name)
        if runner is None or len(body) > self._limits.request_bytes:
            return None
        assert runner.port is not None
        return runner, runner.port

    async def _ask(self, name: str, runner: Runner, asked: _Asked) -> Answer:
        assert runner.port is not None
        try:
            return await self._connections.ask(
                runner.port, asked.method, asked.target, asked.headers, asked.body
            )
        except (TimeoutError, TooLarge, Ended) as error:
            raise self._fault(name, runner, error) from error

    def _fault(self, name: str, runner: Runner, error: Exception) -> HostError:
        """What whoever asked is told where there is no answer."""
        if isinstance(error, TimeoutError):
            return HostError(
                504,
                f"{name} did not answer within {self._limits.answer_seconds:g} s",
                next_step="send fewer records at once",
            )
        if isinstance(error, TooLarge):
            return HostError(
                502,
                f"the answer of {name} has more than {self._limits.response_bytes} bytes",
                next_step="send fewer records at once",
            )
        return HostError(
            503,
            f"{name} ended before it answered: {error}",
            next_step=f"try again; GET /functions/{name}/logs says what it printed",
            retry_after=runner.retry_after,
        )

    # -- in a rollout ---------------------------------------------------------------------------------------

    async def _forward_in_rollout(
        self, name: str, rolling: Rolling, asked: _Asked, key: str | None
    ) -> Response:
        """The answer of whoever the request is dealt to. What the candidate fails to answer the champion does."""
        course = rolling.course
        dealt = course.deals(key)
        if dealt and (answered := await self._ask_candidate(name, rolling, asked)) is not None:
            course.note_candidate(answered.seen, asked.request_id)
            if answered.answer is not None:
                return _response(answered.answer, rolling.runner)
        try:
            async with self._functions.lease(name) as runner:
                champion = await self._measure(name, runner, asked)
        except HostError:
            if not dealt and not course.shadowing:
                course.note_champion(FAILED)
            raise
        assert champion.answer is not None
        response = _response(champion.answer, runner)
        if course.shadowing:
            # Once the caller has its answer.
            response.background = BackgroundTask(self._shadow, name, rolling, asked, champion)
        elif not dealt:  # a request that the candidate failed was not dealt to the champion by chance
            course.note_champion(champion.seen, asked.request_id)
        return response

    async def _measure(self, name: str, runner: Runner, asked: _Asked) -> _Answered:
        began = time.perf_counter()
        answer = await self._ask(name, runner, asked)
        seconds = time.perf_counter() - began
        score, predicted = answer_in(answer.content) if answer.status == 200 else (None, None)
        failed, refused = answer.status >= 500, 400 <= answer.status < 500
        return _Answered(Seen(failed, seconds, refused, score, predicted), answer)

    async def _ask_candidate(self, name: str, rolling: Rolling, asked: _Asked) -> _Answered | None:
        """What the candidate makes of a request, without an answer where it fails; None where it has no process just now."""
        runner = rolling.runner
        if not rolling.ready():
            # What does not come up has failed; one that is on its way up, or restarted, has not been asked.
            return _Answered(FAILED, None) if runner.refused else None
        try:
            with runner.asked():
                answered = await self._measure(name, runner, asked)
        except HostError:
            return _Answered(FAILED, None)
        runner.used = time.monotonic()
        return _Answered(answered.seen, None) if answered.seen.failed else answered

    async def _shadow(self, name: str, rolling: Rolling, asked: _Asked, champion: _Answered) -> None:
        """Have the candidate answer, too, what the champion has answered; not where that is more than it can take."""
        if rolling.shadows >= self._limits.shadows:
            return
        rolling.shadows += 1

        async def compare() -> None:
            try:
                found = await self._ask_candidate(name, rolling, asked)
            finally:
                rolling.shadows -= 1
            if found is not None and rolling.course.shadowing:
                rolling.course.note_both(champion.seen, found.seen, asked.request_id)

        # Not waited for, as the caller's connection would be.
        self._background.spawn(compare())


@dataclass(frozen=True)
class _Answered:
    """What was seen of an answer, and the answer itself unless it is of no use to a caller."""

    seen: Seen
    answer: Answer | None


def _response(answer: Answer, runner: Runner) -> Response:
    response = Response(answer.content, answer.status)
    own = [pair for pair in response.raw_headers if pair[0] == b"content-length"]
    response.raw_headers = [*own, *_returned(answer, runner)]
    return response


def _returned(answer: Answer, runner: Runner) -> Headers:
    """The headers of an answer that is passed back."""
    return [*without(answer.headers, _NOT_RETURNED), (_REVISION, runner.revision.encode())]


def _with_id(headers: Headers) -> Headers:
    """The same list; the request has an id now if it had none."""
    for name, _ in headers:
        if name == _REQUEST_ID:
            return headers
    headers.append((_REQUEST_ID, os.urandom(16).hex().encode()))
    return headers


def without(headers: Sequence[tuple[bytes, bytes]], left_out: frozenset[bytes]) -> Headers:
    """The headers, whose names are in lower case, less those left out, Connection among them, and those that this names as its own."""
    kept, named = [], set[bytes]()
    for pair in headers:
        if pair[0] not in left_out:
            kept.append(pair)
        elif pair[0] == b"connection":
            named.update(token.strip().lower() for token in pair[1].split(b","))
    return [pair for pair in kept if pair[0] not in named] if named else kept
