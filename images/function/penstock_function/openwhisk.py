"""OpenWhisk's action interface: `POST /init` once, then `POST /run` for each activation.

The protocol: https://github.com/apache/openwhisk/blob/master/docs/actions-new.md#action-interface
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from penstock_function import archive, logs
from penstock_function.call import ClientGoneError
from penstock_function.components import MODEL, STEP, Component, Model, OneStep, WholeFunction
from penstock_function.exchange import Reply, read_body, respond, serve
from penstock_function.package import Package, PackageError, read_step
from penstock_function.records import describe
from penstock_function.service import Body, Refusal, Service, parse
from penstock_function.step import Step

SENTINEL = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"
MAX_INIT = 64 * 2**20  # OpenWhisk allows 48 MB of code, and as base64 in JSON it is what it sends
MAX_RUN = 8 * 2**20  # OpenWhisk allows parameters of 1 MiB, and an operator may raise it

# What is wrong with the input or its moment, not with the container.
_APPLICATION_ERRORS = {413, 422, 503, 504}


class Init:
    """`POST /init`: takes the package as a zip in base64, or confirms the one that the process started with.

    The action's `main` says whether it is all of a function that runs here, or one component of a sequence
    (penstock_function.components): then `component` is that.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._begun = False
        self.component: Component | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive, MAX_INIT)
            if self._begun:
                raise Refusal(403, "init", "this function is initialised already, which is done once")
            self._begun = True
            try:
                # Loading a large model takes a while; health checks are answered meanwhile.
                self.component, answer = await asyncio.to_thread(self._initialise, body)
                status = 200
            finally:
                self._begun = self.component is not None
        except Refusal as refusal:
            status, answer = refusal.status, {"error": str(refusal)}
            self._service.metrics.failed(refusal.kind)
            logs.trouble("init_failed", reason=str(refusal))
            _end_of_activation()  # a container whose init failed runs nothing more: its log ends here
        except ClientGoneError:
            return
        await respond(send, Reply(status, orjson.dumps(answer)), self._service.headers)

    def _initialise(self, body: Body) -> tuple[Component, dict[str, Any]]:
        value = _member(parse(body), "value")
        code = value.get("code")
        served = self._service.package
        if not code:
            if served is None:
                raise Refusal(
                    400, "init", "value.code is empty and the process was started without a package"
                )
            return WholeFunction(self._service), {"name": served.name, "version": served.version}
        if served is not None:
            raise Refusal(
                403,
                "init",
                f"this process serves {served.name} {served.version} from its image: send no value.code",
            )
        if not isinstance(code, str) or value.get("binary") is not True:
            raise Refusal(
                400, "init", "value.code must be a zip of a package in base64, with value.binary true"
            )
        try:
            zipped = base64.b64decode(code, validate=True)
        except ValueError as error:  # binascii's, and that of text beyond ASCII
            raise Refusal(400, "init", f"value.code is not base64: {error}") from error
        try:
            component, about = self._component(value.get("main"), archive.reader(zipped))
        except PackageError as error:
            raise Refusal(422, "init", str(error)) from error
        logs.event("initialised", **about)
        return component, about

    def _component(self, main: Any, read: Callable[[str], bytes]) -> tuple[Component, dict[str, Any]]:
        """What the package that `read` reads is here, proven, and what is said of it. Raises PackageError."""
        if isinstance(main, str) and main.startswith(STEP):
            source, tolerance = read_step(main.removeprefix(STEP), read, self._service.keys)
            step = Step(main.removeprefix(STEP), source)
            step.prove(tolerance)
            return OneStep(step), {"step": step.name}
        package = Package.read(read, self._service.keys)
        self._service.serve(package)
        component = Model(self._service) if main == MODEL else WholeFunction(self._service)
        return component, {"name": package.name, "version": package.version}


class Run:
    """`POST /run`: one activation, whose `value` is one record or {"records": [...]}, or what another component gave.

    OpenWhisk takes any status but 200 as a broken container and destroys it, and of a result with a
    top-level `error` it keeps that one value. So wrong input is a 200 whose `error` holds everything.
    """

    def __init__(self, service: Service, init: Init) -> None:
        self._service = service
        self._init = init

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def work() -> Reply:
            if self._init.component is None:
                raise Refusal(403, "not_ready", "the function is not initialised: POST /init comes first")
            return await self._service.work(self._activate, await read_body(scope, receive, MAX_RUN))

        await serve(self._service, "/run", scope, send, work, _refusing, _end_of_activation)

    def _activate(self, body: Body) -> Reply:
        activation = parse(body)
        value = _member(activation, "value")
        _in_time(activation)
        named = activation.get("activation_id")
        # A web action adds what it knows of the HTTP request under such names, and a sequence its components.
        record = _records_of(
            {name: entry for name, entry in value.items() if not name.startswith(("__ow_", "_actions"))}
        )
        assert self._init.component is not None
        try:
            answer, rows = self._init.component(record)
        except Refusal as refusal:
            # Not what was found there: it is the caller's, and logs are read by others.
            faults = [{key: fault[key] for key in ("row", "field", "expected")} for fault in refusal.faults]
            logs.trouble("refused", activation_id=named, kind=refusal.kind, faults=faults)
            raise
        except Exception as error:
            error.add_note(f"activation {named}")  # stands in the log with the traceback
            raise
        return Reply(
            200, orjson.dumps(answer), rows=rows, request_id=named if isinstance(named, str) else None
        )


def _refusing(refusal: Refusal) -> Reply:
    status = 200 if refusal.status in _APPLICATION_ERRORS else refusal.status
    return Reply(status, orjson.dumps({"error": {"message": str(refusal), "faults": refusal.faults}}))


def _member(request: Any, name: str) -> dict[str, Any]:
    value = request.get(name) if isinstance(request, dict) else None
    if not isinstance(value, dict):
        found = describe(value) if isinstance(request, dict) else f"a body that is {describe(request)}"
        raise Refusal(400, "protocol", f"`{name}` must be a JSON object, found {found}")
    return value


def _records_of(value: dict[str, Any]) -> dict[str, Any]:
    """What an event asks: of OpenWhisk's Kafka feed the messages' values are the records, any other value is the function's own.

    The feed: https://github.com/apache/openwhisk-package-kafka
    """
    messages = value.get("messages")
    if (
        len(value) != 1
        or not isinstance(messages, list)
        or not all(isinstance(each, dict) for each in messages)
    ):
        return value
    return {"records": [each.get("value") for each in messages]}


def _in_time(activation: dict[str, Any]) -> None:
    """Nobody waits for an answer after the deadline (milliseconds since the epoch, as text): work for it is lost."""
    deadline = str(activation.get("deadline", ""))
    if deadline.isdecimal() and len(deadline) < 20 and time.time() * 1000 > int(deadline):
        raise Refusal(504, "deadline", "the activation's deadline passed before its turn came")


def _end_of_activation() -> None:
    """Tell OpenWhisk that the log of this activation is complete, on both streams."""
    for stream in (sys.stdout, sys.stderr):
        stream.write(f"{SENTINEL}\n")
        stream.flush()
