"""The Open Inference Protocol, version 2, over gRPC: the same answers, refusals and bounds as over HTTP.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md. What is wrong with
each field of a request is told as google.rpc.BadRequest (https://google.aip.dev/193), and when to try again by gRPC's own
pushback (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from penstock_function import exchange, open_inference_pb2, tensors
from penstock_function.call import TRACED, Call
from penstock_function.open_inference import SERVER, Asked, Inferred, asked, infer, metadata, served
from penstock_function.prediction_log import Row
from penstock_function.service import Body, Refusal, Service
from penstock_function.tensors import malformed
from penstock_function.tracing import Tracing

messages: Any = open_inference_pb2  # whose classes are made as it is loaded

SERVICE = "inference.GRPCInferenceService"
_INFER = f"{SERVICE}/ModelInfer"

#: What HTTP says by a status; _BUSY is a 503 after which trying again may help.
_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_BUSY = grpc.StatusCode.RESOURCE_EXHAUSTED

#: The field of a tensor's contents for its datatype; FP16 has only its bytes.
_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}

#: Of faults beside their sentence, in bytes: any client takes 8 KiB of metadata, where these are a third longer.
_MAX_FAULTS = 3 * 2**10

_Metadata = tuple[tuple[str, str | bytes], ...]


async def start(
    service: Service, tracing: Tracing, host: str, port: int, limit: int
) -> tuple[grpc.aio.Server, int]:
    """Serve `service` on a port of an address, 0 for a free one; the server, and the port. `limit` bounds a message in bytes.

    Raises:
        RuntimeError: the port cannot be had.
    """
    # Two servers on one port would each get some of the calls.
    options = [("grpc.max_receive_message_length", limit), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((Inference(service, tracing).handler(),))
    bound = server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    await server.start()
    return server, bound


class Inference:
    """The protocol's calls."""

    def __init__(self, service: Service, tracing: Tracing) -> None:
        self._service = service
        self._tracing = tracing

    def handler(self) -> grpc.GenericRpcHandler:
        """What gRPC calls for each of them."""
        told = {
            "ServerLive": (self.live, messages.ServerLiveRequest),
            "ServerReady": (self.ready, messages.ServerReadyRequest),
            "ServerMetadata": (self.server, messages.ServerMetadataRequest),
            "ModelReady": (self.model_ready, messages.ModelReadyRequest),
            "ModelMetadata": (self.model, messages.ModelMetadataRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                answer, request.FromString, lambda response: response.SerializeToString()
            )
            for name, (answer, request) in told.items()
        }
        # As bytes, which may be parsed on a thread; and as a stream of one message, for which it is we who wait.
        handlers["ModelInfer"] = grpc.stream_unary_rpc_method_handler(self.infer)
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def live(self, _: Any, context: grpc.aio.ServicerContext) -> Any:
        """True as soon as the process answers."""
        return messages.ServerLiveResponse(live=True)

    async def ready(self, _: Any, context: grpc.aio.ServicerContext) -> Any:
        """True once the package has proved itself."""
        return messages.ServerReadyResponse(ready=self._service.package is not None)

    async def server(self, _: Any, context: grpc.aio.ServicerContext) -> Any:
        """Its name and version."""
        package = self._service.package
        return messages.ServerMetadataResponse(name=SERVER, version=package.version if package else "")

    async def model_ready(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """True once the model answers; NOT_FOUND for another one."""
        ready = self._service.package is not None
        if ready:
            await self._told(request, context)
        return messages.ModelReadyResponse(ready=ready)

    async def model(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        """The model's inputs and outputs; NOT_FOUND for another one."""
        return messages.ModelMetadataResponse(**await self._told(request, context))

    async def _told(self, request: Any, context: grpc.aio.ServicerContext) -> dict[str, Any]:
        try:
            package = served(self._service, request.name, request.version or None)
            return metadata(package, self._service.steps)
        except Refusal as refusal:
            await _abort(context, refusal)

    async def infer(self, _: Any, context: grpc.aio.ServicerContext) -> bytes:
        """Answers as its caller asked: in the bytes of tensors, or typed."""
        traced = [(name, value) for name, value in context.invocation_metadata() if name in TRACED]
        version = [(name.decode("ascii"), value.decode("ascii")) for name, value in self._service.headers]
        # What is no such text could not be sent back.
        trailing = (*version, *(pair for pair in traced if pair[1].isascii() and pair[1].isprintable()))
        call = Call(self._service, f"/{_INFER}", traced)

        async def work() -> tuple[bytes, list[Row]]:
            body = await _read(context)
            return await infer(self._service, body, lambda whole: self._asked(whole, context), _write)

        with self._tracing.call(_INFER, traced) as ended:
            try:
                answer, rows = await call.outcome(work)
            except Refusal as refusal:
                code = _code(refusal).name
                ended(code)
                call.answered(code)
                await _abort(context, refusal, trailing)
            except asyncio.CancelledError:  # by its caller, or by its deadline
                ended(grpc.StatusCode.CANCELLED.name)
                call.failed("client_gone")
                raise
            ended(grpc.StatusCode.OK.name)
        context.set_trailing_metadata(trailing)
        call.answered(grpc.StatusCode.OK.name, rows)
        return answer

    def _asked(self, body: Body, context: grpc.aio.ServicerContext) -> Asked:
        if context.time_remaining() == 0:
            raise Refusal(504, "deadline", "the call's deadline passed before its turn came")
        try:
            message = messages.ModelInferRequest.FromString(body)
        except DecodeError as error:
            raise malformed("the message is no ModelInferRequest") from error
        package = served(self._service, message.model_name, message.model_version or None)
        return asked(package, *_request(message))


async def _read(context: grpc.aio.ServicerContext) -> bytes:
    try:
        async with asyncio.timeout(exchange.BODY_SECONDS):
            body: Any = await context.read()
    except TimeoutError as error:
        raise exchange.too_late() from error
    if body is grpc.aio.EOF:  # or one that is too large, of which gRPC has told the caller
        raise malformed("the call has no message")
    return bytes(body)


def _request(message: Any) -> tuple[dict[str, Any], memoryview]:
    """A request as JSON would have it, and the bytes of its tensors, where it has them as bytes."""
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise malformed(
            f"there are {len(raw)} raw_input_contents, expected one for each of {len(message.inputs)} inputs"
        )
    inputs: list[dict[str, Any]] = [
        {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        for tensor in message.inputs
    ]
    for position, (tensor, described) in enumerate(zip(message.inputs, inputs, strict=True)):
        if not raw:
            described["data"] = _values(tensor)
        elif tensor.HasField("contents"):
            raise malformed(
                f"{tensors.said(tensor.name)} has both contents and raw_input_contents, expected one of them"
            )
        else:
            described["parameters"] = {"binary_data_size": len(raw[position])}
    parameters: dict[str, Any] = {"binary_data_output": bool(raw)}
    if "timeout" in message.parameters:
        timeout = message.parameters["timeout"]
        parameters["timeout"] = getattr(timeout, timeout.WhichOneof("parameter_choice") or "", None)
    request: dict[str, Any] = {"id": message.id, "inputs": inputs, "parameters": parameters}
    if message.outputs:
        request["outputs"] = [{"name": output.name} for output in message.outputs]
    return request, memoryview(b"".join(raw))


def _values(tensor: Any) -> list[Any]:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:  # without contents, or a datatype that is refused as such
        return []
    values = getattr(tensor.contents, field)
    if tensor.datatype == "BYTES":
        return [tensors.text(value, tensors.said(tensor.name)) for value in values]
    return tensors.nulls(values)


def _write(asked: Asked, inferred: Inferred) -> tuple[bytes, list[Row]]:
    package, request, _ = asked
    answer = messages.ModelInferResponse(
        model_name=package.name, model_version=package.version, id=request["id"]
    )
    for tensor, binary in inferred.outputs:
        described = answer.outputs.add(**tensor.described())
        if binary:
            answer.raw_output_contents.append(tensor.to_bytes())
        else:
            getattr(described.contents, _CONTENTS[tensor.datatype]).extend(tensor.filled())
    return answer.SerializeToString(), inferred.rows


def _code(refusal: Refusal) -> grpc.StatusCode:
    return _CODES[refusal.status] if refusal.retry_after is None else _BUSY


async def _abort(context: grpc.aio.ServicerContext, refusal: Refusal, trailing: _Metadata = ()) -> NoReturn:
    await context.abort(_code(refusal), str(refusal), (*trailing, *_details(refusal)))
    raise AssertionError("gRPC ends a call by an exception of its own")


def _details(refusal: Refusal) -> Iterator[tuple[str, str | bytes]]:
    if refusal.retry_after is not None:
        yield "grpc-retry-pushback-ms", str(1000 * refusal.retry_after)
    if refusal.faults:
        bad = BadRequest()
        for fault in refusal.faults:
            sentence = f"row {fault['row']}: found {fault['found']}, expected {fault['expected']}"
            bad.field_violations.add(field=fault["field"], description=sentence)
            if bad.ByteSize() > _MAX_FAULTS:
                del bad.field_violations[-1]
                break
        status = Status(code=_code(refusal).value[0], message=str(refusal))
        status.details.add().Pack(bad)
        yield "grpc-status-details-bin", status.SerializeToString()
