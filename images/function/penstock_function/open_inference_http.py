"""The Open Inference Protocol, version 2, over HTTP: what KServe, Triton's and MLServer's clients speak.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, with its binary
tensor data extension. A refusal has `faults` beside `error`, as at /predict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from penstock_function import open_inference
from penstock_function.exchange import Reply, read_body, serve
from penstock_function.open_inference import SERVER, Asked, Inferred, asked, infer, metadata
from penstock_function.package import Package
from penstock_function.records import describe
from penstock_function.service import Body, Refusal, Service, parse
from penstock_function.tensors import malformed

#: Says how many bytes of a body are JSON; the tensors' own bytes follow.
JSON_LENGTH = b"inference-header-content-length"
_MODEL = "/v2/models/{model}"
_VERSION = f"{_MODEL}/versions/{{version}}"


def routes(service: Service, limit: int) -> list[BaseRoute]:
    """The protocol's paths; `limit` bounds a request's body in bytes."""
    told, infer = Told(service), Infer(service, limit)
    return [
        Route("/v2", told.server),
        Route("/v2/health/live", told.live),
        Route("/v2/health/ready", told.ready),
        *(Route(path, told.model) for path in (_MODEL, _VERSION)),
        *(Route(f"{path}/ready", told.model_ready) for path in (_MODEL, _VERSION)),
        *(Route(f"{path}/infer", infer, methods=["POST"]) for path in (_MODEL, _VERSION)),
    ]


class Told:
    """What the protocol tells of the server and of its one model."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server(self, _: Request) -> Response:
        """Its name, version and extensions."""
        package = self._service.package
        version = package.version if package else ""
        return _json({"name": SERVER, "version": version, "extensions": ["binary_tensor_data"]})

    async def live(self, _: Request) -> Response:
        """200 as soon as the process answers."""
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        """200 once the package has proved itself, otherwise 503."""
        ready = self._service.package is not None
        return _json({"ready": ready}, 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        """The model's inputs and outputs; 404 for another one."""
        return _json(metadata(_served(self._service, request.path_params), self._service.steps))

    async def model_ready(self, request: Request) -> Response:
        """200 once the model answers; 404 for another one."""
        package = _served(self._service, request.path_params)
        return _json({"name": package.name, "ready": True})


class Infer:
    """`POST …/infer` as an ASGI app of its own."""

    def __init__(self, service: Service, limit: int) -> None:
        self._service = service
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def work() -> Reply:
            package = _served(self._service, scope["path_params"])
            split = _json_length(scope)
            body = await read_body(scope, receive, self._limit)
            return await infer(self._service, body, lambda whole: _read(package, whole, split), _write)

        await serve(self._service, "/v2/infer", scope, send, work, _refusing)


def _read(package: Package, body: Body, split: int | None) -> Asked:
    end = len(body) if split is None else split
    if end > len(body):
        raise malformed(f"the body has {len(body)} bytes, of which {end} should be JSON")
    request = parse(body[:end])
    if not isinstance(request, dict):
        raise malformed(f"the body is {describe(request)}, expected an object with `inputs`")
    return asked(package, request, memoryview(body)[end:])


def _write(asked: Asked, inferred: Inferred) -> Reply:
    package, request, _ = asked
    answer: dict[str, Any] = {"model_name": package.name, "model_version": package.version}
    if isinstance(request.get("id"), str):
        answer["id"] = request["id"]
    answer["outputs"], tail = [], []
    for tensor, binary in inferred.outputs:
        described = tensor.described()
        if binary:
            tail.append(tensor.to_bytes())
            described["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            described["data"] = tensor.flat()
        answer["outputs"].append(described)
    head = orjson.dumps(answer)
    if not tail:
        return Reply(200, head, rows=inferred.rows)
    length = str(len(head)).encode("ascii")
    whole = b"".join([head, *tail])
    return Reply(200, whole, [(JSON_LENGTH, length)], b"application/octet-stream", inferred.rows)


def _refusing(refusal: Refusal) -> Reply:
    """The protocol knows 400 for whatever is wrong with a request's content."""
    return Reply(400 if refusal.status == 422 else refusal.status, orjson.dumps(refusal.body()))


def _served(service: Service, path: Mapping[str, str]) -> Package:
    return open_inference.served(service, path["model"], path.get("version"))


def _json_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == JSON_LENGTH:
            if not value.isdigit() or len(value) > 20:
                found = value[:40].decode("latin-1")
                raise malformed(f"{JSON_LENGTH.decode()} is {found!r}, expected a number of bytes")
            return int(value)
    return None


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
