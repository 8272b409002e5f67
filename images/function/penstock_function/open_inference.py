"""The Open Inference Protocol, version 2, over HTTP: what KServe, Triton's and MLServer's clients speak.

The protocol: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, with
its binary tensor data extension. One tensor a column that the function takes; a refusal has `faults` beside `error`, as at /predict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from penstock_function import tensors
from penstock_function.exchange import Reply, read_body, serve
from penstock_function.package import Package
from penstock_function.records import describe
from penstock_function.service import Body, Refusal, Service, check_count, parse
from penstock_function.tensors import DATATYPES, Tensor, malformed

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
        return _json({"name": "penstock_function", "version": version, "extensions": ["binary_tensor_data"]})

    async def live(self, _: Request) -> Response:
        """200 as soon as the process answers."""
        return _json({"live": True})

    async def ready(self, _: Request) -> Response:
        """200 once the package has proved itself, otherwise 503."""
        ready = self._service.package is not None
        return _json({"ready": ready}, 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        """The model's inputs and outputs; 404 for another one."""
        package = _served(self._service, request.path_params)
        steps = self._service.steps
        usual = {**package.samples.answers[0], **dict.fromkeys(field.name for field in steps.gives)}
        outputs = tensors.outputs([usual], package.classes, steps.gives)
        return _json(
            {
                "name": package.name,
                "versions": [package.version],
                "platform": "onnx",
                "inputs": [
                    {"name": field.name, "datatype": DATATYPES[field.type], "shape": [-1]}
                    for field in steps.inputs
                ],
                "outputs": [{**each.described(), "shape": [-1, *each.shape[1:]]} for each in outputs],
            }
        )

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
            return await self._service.work(lambda whole: self._infer(package, whole, split), body)

        await serve(self._service, "/v2/infer", scope, send, work, _refusing)

    def _infer(self, package: Package, body: Body, split: int | None) -> Reply:
        end = len(body) if split is None else split
        if end > len(body):
            raise malformed(f"the body has {len(body)} bytes, of which {end} should be JSON")
        request = parse(body[:end])
        if not isinstance(request, dict):
            raise malformed(f"the body is {describe(request)}, expected an object with `inputs`")
        records = _records(request.get("inputs"), memoryview(body)[end:])
        answers, rows = self._service.score(records)
        made = tensors.outputs(answers, package.classes, self._service.steps.gives)
        wanted = _wanted(request, made)
        answer: dict[str, Any] = {"model_name": package.name, "model_version": package.version}
        if isinstance(request.get("id"), str):
            answer["id"] = request["id"]
        answer["outputs"], tail = [], []
        for tensor, binary in wanted:
            described = tensor.described()
            if binary:
                tail.append(tensor.to_bytes())
                described["parameters"] = {"binary_data_size": len(tail[-1])}
            else:
                described["data"] = tensor.flat()
            answer["outputs"].append(described)
        head = orjson.dumps(answer)
        if not tail:
            return Reply(200, head, rows=rows)
        length = str(len(head)).encode("ascii")
        whole = b"".join([head, *tail])
        return Reply(200, whole, [(JSON_LENGTH, length)], b"application/octet-stream", rows)


def _refusing(refusal: Refusal) -> Reply:
    """The protocol knows 400 for whatever is wrong with a request's content."""
    return Reply(400 if refusal.status == 422 else refusal.status, orjson.dumps(refusal.body()))


def _served(service: Service, path: Mapping[str, str]) -> Package:
    """The package that answers. Raises Refusal: 503 where there is none yet, 404 where the path names another."""
    package = service.served()
    if path["model"] != package.name:
        raise Refusal(404, "protocol", f"there is no model {path['model'][:100]!r}: this is {package.name!r}")
    version = path.get("version", package.version)
    if version != package.version:
        raise Refusal(
            404,
            "protocol",
            f"there is no version {version[:100]!r} of {package.name!r}: this is {package.version!r}",
        )
    return package


def _json_length(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == JSON_LENGTH:
            if not value.isdigit() or len(value) > 20:
                raise malformed(f"{JSON_LENGTH.decode()} is {value[:40]!r}, expected a number of bytes")
            return int(value)
    return None


def _records(inputs: Any, rest: memoryview) -> list[dict[str, Any]]:
    """One record a row of the input tensors."""
    if not isinstance(inputs, list) or not inputs:
        raise malformed(f"`inputs` is {describe(inputs)}, expected an array of tensors")
    columns: dict[str, list[Any]] = {}
    for position, tensor in enumerate(inputs):
        name, values, taken = tensors.column(tensor, position, rest)
        if name in columns:
            raise malformed(f"the input {name[:100]!r} is there twice")
        columns[name], rest = values, rest[taken:]
    if len(rest):
        raise malformed(f"{len(rest)} bytes are left that no input claims")
    rows = {len(values) for values in columns.values()}
    if len(rows) != 1 or rows == {0}:
        raise malformed(f"the inputs have {sorted(rows)} rows, expected one number of them, at least 1")
    check_count(*rows)
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _wanted(request: Mapping[str, Any], made: list[Tensor]) -> list[tuple[Tensor, bool]]:
    """The outputs that a request asks for, each with whether it wants its bytes; all of them where it names none."""
    every = bool(_parameters(request).get("binary_data_output"))
    asked = request.get("outputs")
    if asked is None:
        return [(tensor, every) for tensor in made]
    if not isinstance(asked, list):
        raise malformed(f"`outputs` is {describe(asked)}, expected an array")
    known, found = {tensor.name: tensor for tensor in made}, []
    for each in asked:
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or name not in known:
            raise malformed(f"there is no output {describe(name)}; there are {', '.join(known)}")
        found.append((known[name], bool(_parameters(each).get("binary_data", every))))
    return found


def _parameters(of: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = of.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
