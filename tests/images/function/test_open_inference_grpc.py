"""The Open Inference Protocol over gRPC: what HTTP answers and refuses, to other people's clients as well."""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_function import exchange
from penstock_function import open_inference_pb2 as messages
from penstock_function.app import MAX_BODY
from penstock_function.open_inference_grpc import SERVICE, start
from penstock_function.package import Package
from penstock_function.service import INLINE_BODY, MAX_LARGE, MAX_RECORDS, Service
from penstock_function.tensors import Tensor
from penstock_function.tracing import Tracing
from tests.images.function.conftest import CARRIERS, Client
from tests.images.function.test_open_inference import TYPES, post, tensors

ROOT = Path(__file__).parents[3]
FIELDS = {
    "BYTES": "bytes_contents", "FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents",
    "INT32": "int_contents", "BOOL": "bool_contents",
}  # fmt: skip
Request = messages.ModelInferRequest
Response = messages.ModelInferResponse


def typed(described: list[dict[str, Any]], **more: Any) -> Request:
    """A request of tensors that the protocol's JSON describes, each value in the field of its type."""
    request = Request(model_name="delays", **more)
    for each in described:
        values = [math.nan if value is None else value for value in each["data"]]
        if each["datatype"] == "BYTES":
            values = [value.encode() for value in values]
        tensor = request.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        getattr(tensor.contents, FIELDS[each["datatype"]]).extend(values)
    return request


def raw(described: list[dict[str, Any]], **more: Any) -> Request:
    """The same as bytes."""
    request = Request(model_name="delays", **more)
    for each in described:
        request.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        values = [math.nan if value is None else value for value in each["data"]]
        tensor = Tensor(each["name"], each["datatype"], [len(values)], values)
        request.raw_input_contents.append(tensor.to_bytes())
    return request


def read(response: Response) -> list[dict[str, Any]]:
    """The outputs as the protocol's JSON has them, whichever way they came."""
    outputs = []
    for position, each in enumerate(response.outputs):
        if response.raw_output_contents:
            dtype = {"INT64": "<i8", "FP64": "<f8"}[each.datatype]
            values = np.frombuffer(response.raw_output_contents[position], dtype).tolist()
        else:
            values = list(getattr(each.contents, FIELDS[each.datatype]))
        outputs.append(
            {"name": each.name, "datatype": each.datatype, "shape": list(each.shape), "data": values}
        )
    return outputs


def infer_of(channel: Any) -> Any:
    """The call ModelInfer of a channel."""
    return channel.unary_unary(f"/{SERVICE}/ModelInfer", Request.SerializeToString, Response.FromString)


def told_of(channel: Any, call: str, **request: Any) -> Any:
    """What one of the other calls answers."""
    kind, answer = getattr(messages, f"{call}Request"), getattr(messages, f"{call}Response")
    return channel.unary_unary(f"/{SERVICE}/{call}", kind.SerializeToString, answer.FromString)(
        kind(**request)
    )


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server of this process."""
    server, port = await start(service, Tracing("delays"), "127.0.0.1", 0, MAX_BODY)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(60)


def run(service: Service, test: Callable[[grpc.aio.Channel], Awaitable[Any]]) -> Any:
    """What `test` gives of a channel to a server of this process."""

    async def on_a_loop() -> Any:
        async with serving(service) as channel:
            return await test(channel)

    return asyncio.run(on_a_loop())


def refused(service: Service, request: Request, **options: Any) -> grpc.aio.AioRpcError:
    """The error that a request gets."""

    async def ask(channel: grpc.aio.Channel) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await infer_of(channel)(request, **options)
        return error.value

    return run(service, ask)


def violations(error: Any) -> list[tuple[str, str]]:
    """The faults of an error in gRPC's standard form."""
    [data] = [value for name, value in error.trailing_metadata() if name == "grpc-status-details-bin"]
    status, bad = Status.FromString(data), BadRequest()
    assert (status.code, status.message) == (error.code().value[0], error.details())
    assert status.details[0].Unpack(bad)
    return [(each.field, each.description) for each in bad.field_violations]


@pytest.fixture
def channel(start: Callable[..., Any], make_package: Callable[..., Path]) -> Iterator[grpc.Channel]:
    """A channel to a runtime process."""
    process = start("--package", str(make_package()), "--grpc-port", "0")
    with grpc.insecure_channel(f"127.0.0.1:{process.first['grpc_port']}") as channel:
        yield channel


def large(right: dict[str, Any]) -> Request:
    """A request that goes to a thread."""
    return raw(tensors([right] * 5000))


@contextmanager
def held(service: Service) -> Iterator[None]:
    """The thread of large requests does nothing else meanwhile."""
    gate = threading.Event()
    service._large.thread.submit(gate.wait)
    try:
        yield
    finally:
        gate.set()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    while not holds():
        await asyncio.sleep(0.005)


def test_the_generated_code_is_that_of_the_proto(tmp_path: Path) -> None:
    """What the command in its head makes of open_inference.proto lies beside it."""
    folder = ROOT / "images/function/penstock_function"
    [command] = re.findall(
        r"^//   \.venv/bin/python (.*)\\\n// +(.*)$",
        (folder / "open_inference.proto").read_text(),
        re.MULTILINE,
    )
    arguments = [re.sub("(?<=out )images/function", str(tmp_path), part).split() for part in command]
    subprocess.run([sys.executable, *arguments[0], *arguments[1]], cwd=ROOT, check=True)
    [made] = (tmp_path / folder.name).iterdir()
    assert made.read_text() == (folder / made.name).read_text()


def said(file: FileDescriptorProto) -> set[tuple[Any, ...]]:
    """Each field and each call of a file, with its number and types."""

    def fields(message: DescriptorProto, within: str) -> Iterator[tuple[Any, ...]]:
        name = f"{within}.{message.name}"
        yield (name,)
        for each in message.field:
            yield (name, each.name, each.number, each.type, each.type_name, each.label)
        for nested in message.nested_type:
            yield from fields(nested, name)

    calls = {
        (service.name, call.name, call.input_type, call.output_type)
        for service in file.service
        for call in service.method
    }
    return calls.union(*(fields(message, file.package) for message in file.message_type))


def test_the_protocol_is_the_published_one() -> None:
    """Each message, field and call has the name, number and type that the protocol's own client has."""
    # In a process of its own, as one process has no two messages of a name.
    script = "import sys; from open_inference.grpc.protocol import DESCRIPTOR as file; sys.stdout.buffer.write(file.serialized_pb)"
    published = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout
    ours = said(FileDescriptorProto.FromString(messages.DESCRIPTOR.serialized_pb))
    assert ours == said(FileDescriptorProto.FromString(published))
    assert len(ours) > 60


records = st.lists(
    st.fixed_dictionaries(
        {
            "carrier": st.sampled_from(list(CARRIERS)),
            "distance": st.none() | st.floats(-10, 10),
            "ratio": st.none() | st.floats(-10, 10, width=32),
            "seats": st.integers(-9, 9),
            "month": st.integers(-9, 9),
            "holiday": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=records, wanted=st.sampled_from([[], ["prediction"], ["probability", "prediction"]]))
def test_the_same_answers_as_http(
    client: Client, channel: grpc.Channel, records: list[dict[str, Any]], wanted: list[str]
) -> None:
    """Typed and as bytes, each answered in its own way; nulls, and texts beyond ASCII, among them."""
    outputs = [{"name": name} for name in wanted]
    asked = {"inputs": tensors(records), **({"outputs": outputs} if outputs else {})}
    expected = post(client, asked).json()["outputs"]
    for form in (typed, raw):
        response = infer_of(channel)(form(asked["inputs"], id="a1 ☃", outputs=outputs))
        assert (response.model_name, response.model_version, response.id) == ("delays", "7", "a1 ☃")
        assert bool(response.raw_output_contents) == (form is raw)
        assert read(response) == expected


def test_classes_that_are_text(make_package: Callable[..., Path], right: dict[str, Any]) -> None:
    """They are BYTES, typed and raw."""
    service = Service()
    service.serve(Package.load(make_package(classes=["früh", "spät ☃"])))
    late = "spät ☃".encode()
    answer = run(service, lambda channel: infer_of(channel)(typed(tensors([right]))))
    assert (answer.outputs[0].datatype, list(answer.outputs[0].contents.bytes_contents)) == ("BYTES", [late])
    answer = run(service, lambda channel: infer_of(channel)(raw(tensors([right]))))
    assert answer.raw_output_contents[0] == len(late).to_bytes(4, "little") + late


def test_what_is_told(client: Client, empty_client: Client) -> None:
    """Of the server and the model what HTTP tells; ready only once there is one."""

    async def ask(channel: grpc.aio.Channel) -> None:
        assert (await told_of(channel, "ServerLive")).live
        assert (await told_of(channel, "ServerReady")).ready
        server = await told_of(channel, "ServerMetadata")
        assert {"name": server.name, "version": server.version}.items() <= client_told["server"].items()
        for version in ("", "7"):
            assert (await told_of(channel, "ModelReady", name="delays", version=version)).ready
            model = await told_of(channel, "ModelMetadata", name="delays", version=version)
            for part in ("inputs", "outputs"):
                assert [
                    {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)}
                    for each in getattr(model, part)
                ] == client_told["model"][part]
            assert (list(model.versions), model.platform) == (["7"], "onnx")

    async def ask_too_early(channel: grpc.aio.Channel) -> None:
        assert (await told_of(channel, "ServerLive")).live
        assert not (await told_of(channel, "ServerReady")).ready
        assert not (await told_of(channel, "ModelReady", name="delays")).ready
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await told_of(channel, "ModelMetadata", name="delays")
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE

    client_told = {"server": client.get("/v2").json(), "model": client.get("/v2/models/delays").json()}
    run(client.service, ask)
    run(empty_client.service, ask_too_early)
    assert refused(empty_client.service, Request()).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("other", [{"name": "other"}, {"name": "delays", "version": "8"}])
def test_another_model_is_not_here(client: Client, other: dict[str, str]) -> None:
    """By name or version: NOT_FOUND, which says what is."""

    async def ask(channel: grpc.aio.Channel) -> None:
        request = Request(model_name=other["name"], model_version=other.get("version", ""))
        for call in (
            told_of(channel, "ModelReady", **other),
            told_of(channel, "ModelMetadata", **other),
            infer_of(channel)(request),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call
            assert error.value.code() is grpc.StatusCode.NOT_FOUND
            assert "'delays'" in error.value.details()

    run(client.service, ask)


def changed(right: dict[str, Any], column: str, **changes: Any) -> list[dict[str, Any]]:
    """The tensors of a right record, of which one is changed."""
    return [{**each, **changes} if each["name"] == column else each for each in tensors([right])]


@pytest.mark.parametrize(
    "described",
    [
        lambda right: changed(right, "month", shape=[1, 2]),
        lambda right: changed(right, "month", shape=[2]),
        lambda right: changed(right, "month", shape=[2], data=[1, 2]),
        lambda right: [*tensors([right]), tensors([right])[0]],
        lambda right: tensors([right])[1:],
        lambda right: changed(right, "month", datatype="FP64", data=[1.5]),
        lambda right: changed(right, "carrier", data=["nobody ☃"]),
        lambda right: changed(right, "month", name="mouth ☃" * 100),
        lambda right: tensors([{**right, "carrier": "☃" * 1000, "seats": 2**60}] * 50),
    ],
)
@pytest.mark.parametrize("form", [typed, raw])
def test_a_wrong_request_is_refused_as_by_http(
    client: Client,
    right: dict[str, Any],
    described: Callable[[dict[str, Any]], Any],
    form: Callable[..., Request],
) -> None:
    """INVALID_ARGUMENT with the sentence that HTTP has, and its faults by field."""
    response = post(client, {"inputs": described(right)})
    assert response.status_code == 400
    said = response.json()
    error = refused(client.service, form(described(right)))
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, said["error"])
    if "faults" in said:
        faults = [
            (each["field"], f"row {each['row']}: found {each['found']}, expected {each['expected']}")
            for each in said["faults"]
        ]
        found = violations(error)
        assert found
        assert found == faults[: len(found)]
        assert len(found) == len(faults) or len(str(found)) > 1500


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda request: request.ClearField("inputs"), "`inputs` is an array of 0 values"),
        (lambda request: request.raw_input_contents.append(b""), "there are 1 raw_input_contents, expected one for each of 6"),
        (lambda request: request.raw_input_contents.extend([b""] * 6), "the input 'carrier' has both contents and raw"),
        (lambda request: request.outputs.add(name="raw"), "there are prediction, probability"),
        (lambda request: setattr(request.inputs[4], "datatype", "INT128"), "the datatype of the input 'month'"),
        (lambda request: setattr(request.inputs[4], "datatype", "FP16"), "has 0 values, and its shape says 1"),
        (lambda request: request.inputs[0].contents.bytes_contents.__setitem__(0, b"\xff"), "not UTF-8"),
    ],
)  # fmt: skip
def test_what_only_grpc_can_say_wrongly(
    client: Client, right: dict[str, Any], change: Callable[[Request], Any], said: str
) -> None:
    """INVALID_ARGUMENT that says what is wrong."""
    request = typed(tensors([right]))
    change(request)
    error = refused(client.service, request)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in error.details()


near_tensors = st.builds(
    Request.InferInputTensor,
    name=st.sampled_from([*TYPES, "x"]) | st.text(max_size=5),
    datatype=st.sampled_from([*TYPES.values(), "FP16", "UINT8"]) | st.text(max_size=5),
    shape=st.lists(st.integers(-1, 3), max_size=3),
    contents=st.none()
    | st.builds(
        messages.InferTensorContents,
        int_contents=st.lists(st.integers(-3, 3), max_size=3),
        fp64_contents=st.lists(st.floats(), max_size=3),
        bytes_contents=st.lists(st.binary(max_size=3), max_size=3),
    ),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    message=st.builds(
        Request,
        model_name=st.just("delays"),
        inputs=st.lists(near_tensors, max_size=7),
        raw_input_contents=st.lists(st.binary(max_size=9), max_size=7),
        outputs=st.lists(st.builds(Request.InferRequestedOutputTensor, name=st.text(max_size=5)), max_size=2),
    ).map(Request.SerializeToString)
    | st.binary()
)
def test_any_message_gets_an_answer_or_a_refusal(channel: grpc.Channel, message: bytes) -> None:
    """Whatever is sent: no failure of the server's."""
    call = channel.unary_unary(f"/{SERVICE}/ModelInfer").future(message)
    if (error := call.exception()) is not None:
        assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        assert error.details()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_bound_is_refused(
    client: Client, right: dict[str, Any], compression: grpc.Compression
) -> None:
    """As it is, and unpacked, before anything reads it; the next one is answered."""

    async def ask(channel: grpc.aio.Channel) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await infer_of(channel)(Request(raw_input_contents=[bytes(MAX_BODY)]), compression=compression)
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in error.value.details()
        await infer_of(channel)(raw(tensors([right])), compression=compression)

    run(client.service, ask)


def test_too_many_records_are_refused(client: Client) -> None:
    """They are no sooner right when they are sent again: INVALID_ARGUMENT."""
    rows = MAX_RECORDS + 1
    request = Request(model_name="delays", raw_input_contents=[bytes(rows)])
    request.inputs.add(name="holiday", datatype="BOOL", shape=[rows])
    error = refused(client.service, request)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"at most {MAX_RECORDS}" in error.details()


def test_calls_at_once(client: Client, right: dict[str, Any]) -> None:
    """Rows that come alone go through batches, as by HTTP, and each call gets its own answer."""
    requests = [raw(tensors([{**right, "distance": number / 7}])) for number in range(50)]

    async def ask(channel: grpc.aio.Channel) -> list[Any]:
        return await asyncio.gather(*(infer_of(channel)(request) for request in requests))

    together = run(client.service, ask)
    assert "penstock_batch_requests_sum 50.0" in client.service.metrics.text().decode()
    expected = [{**right, "distance": number / 7} for number in range(50)]
    [probability] = [
        each
        for each in post(client, {"inputs": tensors(expected)}).json()["outputs"]
        if each["name"] == "probability"
    ]
    assert [p for each in together for p in read(each)[1]["data"]] == probability["data"]


def test_too_many_large_messages_are_turned_away(client: Client, right: dict[str, Any]) -> None:
    """RESOURCE_EXHAUSTED that says when to try again; small ones, and those in work, are answered."""
    service = client.service

    async def ask(channel: grpc.aio.Channel) -> None:
        with held(service):
            calls = [infer_of(channel)(large(right)) for _ in range(MAX_LARGE)]
            await until(lambda: service._large.in_work == MAX_LARGE)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await infer_of(channel)(large(right))
            assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert ("grpc-retry-pushback-ms", "1000") in tuple(error.value.trailing_metadata())
            assert read(await infer_of(channel)(raw(tensors([right]))))[0]["data"] == [1]
        for call in calls:
            assert list((await call).outputs[0].shape) == [5000]

    run(service, ask)
    assert len(large(right).SerializeToString()) > INLINE_BODY


def test_a_deadline_that_passes(client: Client, right: dict[str, Any]) -> None:
    """DEADLINE_EXCEEDED; what is too late is not scored, and holds its place until the thread has come to it."""
    service = client.service

    async def ask(channel: grpc.aio.Channel) -> None:
        with held(service):
            for seconds in (0.2, 2, 20):  # until it is long enough to arrive
                call = infer_of(channel)(large(right), timeout=seconds)
                await until(lambda: service._large.in_work == 1 or call.done())  # noqa: B023 (awaited here)
                if service._large.in_work:
                    break
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await until(lambda: 'kind="client_gone"' in service.metrics.text().decode())
            assert service._large.in_work == 1
        await until(lambda: service._large.in_work == 0)

    run(service, ask)
    assert "penstock_rows_count 0.0" in service.metrics.text().decode()


def test_a_timeout_that_passed(client: Client, right: dict[str, Any]) -> None:
    """The request's parameter, as Triton's clients send it, is the same bound as over HTTP."""
    late = typed(tensors([right]))
    late.parameters["timeout"].int64_param = 1
    assert refused(client.service, late).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    late.parameters["timeout"].string_param = "soon"
    assert "expected microseconds" in str(refused(client.service, late).details())


async def nothing() -> AsyncIterator[bytes]:
    """A call without its message."""
    return
    yield b""


async def stuck() -> AsyncIterator[bytes]:
    """A call whose message never comes."""
    await asyncio.sleep(60)
    yield b""


def test_a_call_without_a_message(client: Client) -> None:
    """INVALID_ARGUMENT, and no wait for ever."""

    async def ask(channel: grpc.aio.Channel) -> None:
        call = channel.stream_unary(f"/{SERVICE}/ModelInfer")(nothing())
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "no message" in await call.details()

    run(client.service, ask)


def test_a_message_that_never_comes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that stops sending gets DEADLINE_EXCEEDED after the stated time."""
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.05)

    async def ask(channel: grpc.aio.Channel) -> None:
        call = channel.stream_unary(f"/{SERVICE}/ModelInfer")(stuck())
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "0.05 seconds" in await call.details()

    run(client.service, ask)


def test_a_broken_model_is_internal_and_the_next_call_is_answered(
    client: Client, right: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The caller is told; its own id and its trace come back, with the version, and stand in the log."""
    ids = (
        ("x-request-id", "r-17"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    )

    def fail(*_: Any) -> Any:
        raise RuntimeError("the graph broke")

    with monkeypatch.context() as patch:
        patch.setattr(client.service._scorer, "answer", fail)
        error = refused(client.service, typed(tensors([right])), metadata=ids)
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "the model failed: RuntimeError")
    logged = json.loads(capfd.readouterr().err)
    assert logged["error"] == "the graph broke"
    assert dict(ids).items() <= logged.items()

    async def ask(channel: grpc.aio.Channel) -> Any:
        call = infer_of(channel)(typed(tensors([right])), metadata=ids)
        await call
        return await call.trailing_metadata()

    for echoed in (error.trailing_metadata(), run(client.service, ask)):
        assert {*ids, ("x-penstock-version", "7")} <= {*echoed}


def test_metrics_and_the_prediction_log(
    make_package: Callable[..., Path], right: dict[str, Any], tmp_path: Path
) -> None:
    """Calls are counted beside HTTP's requests, by gRPC's words; rows are logged with their call's own id."""
    log = {"pipeline": "flights", "rate": 1, "sensitive": []}
    service = Service(spool=tmp_path / "spool")
    service.serve(Package.load(make_package(log=log)))
    metadata = (("x-request-id", "r-18"),)
    run(service, lambda channel: infer_of(channel)(raw(tensors([right] * 2)), metadata=metadata))
    refused(service, Request(model_name="delays"))
    service.close()
    text = service.metrics.text().decode()
    path = f'path="/{SERVICE}/ModelInfer"'
    for line in (
        f'penstock_requests_total{{{path},status="OK"}} 1.0',
        f'penstock_requests_total{{{path},status="INVALID_ARGUMENT"}} 1.0',
        f"penstock_request_seconds_count{{{path}}} 2.0",
        'penstock_errors_total{kind="protocol"} 1.0',
        "penstock_rows_sum 2.0",
    ):
        assert line in text
    [segment] = (tmp_path / "spool").iterdir()
    _, *rows = map(json.loads, segment.read_text().splitlines())
    assert [(row["request_id"], row["row"]["inputs"]["carrier"]) for row in rows] == [("r-18", "AA")] * 2


def test_it_is_off_unless_told(start: Callable[..., Any], make_package: Callable[..., Path]) -> None:
    """Without --grpc-port there is no port, and gRPC is not even loaded."""
    assert start("--package", str(make_package())).first["grpc_port"] is None
    loaded = "import sys, penstock_function.__main__; sys.exit('grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True)


def test_it_listens_where_http_does(start: Callable[..., Any], make_package: Callable[..., Path]) -> None:
    """On loopback unless told otherwise."""
    process = start("--package", str(make_package()), "--grpc-port", "0")
    listening = psutil.Process(process.popen.pid).net_connections("tcp")
    port = process.first["grpc_port"]
    assert {each.laddr.ip for each in listening if each.laddr.port == port} <= {
        "127.0.0.1",
        "::ffff:127.0.0.1",
    }
    assert {process.port, port} <= {each.laddr.port for each in listening}


@pytest.mark.skipif(not Path("/proc/net/if_inet6").is_file(), reason="there is no IPv6")
def test_it_listens_on_ipv6(start: Callable[..., Any], make_package: Callable[..., Path]) -> None:
    """By an address of it."""
    process = start("--package", str(make_package()), "--grpc-port", "0", "--bind", "::1")
    with grpc.insecure_channel(f"[::1]:{process.first['grpc_port']}") as channel:
        assert told_of(channel, "ServerReady").ready


def test_a_port_that_is_taken_is_said(start: Callable[..., Any], make_package: Callable[..., Path]) -> None:
    """By another runtime's gRPC, too: it ends the process with 1, and one line that names the port."""
    package = str(make_package())
    port = str(start("--package", package, "--grpc-port", "0").first["grpc_port"])
    second = start("--package", package, "--grpc-port", port)
    out, err = second.popen.communicate(timeout=60)
    assert (second.popen.returncode, second.first, out) == (1, {}, "")
    assert f"gRPC cannot listen on 127.0.0.1 port {port}" in json.loads(err)["reason"]


def test_without_grpcio_it_says_so() -> None:
    """A wrong argument, as the image without gRPC cannot."""
    script = "import sys; sys.modules['grpc'] = None; from penstock_function.__main__ import main; main(['--grpc-port', '0'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "needs grpcio" in done.stderr


def again(port: int) -> grpc.StatusCode:
    """How a call by a new connection ends."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return channel.unary_unary(f"/{SERVICE}/ServerReady").future(b"").code()


def test_a_call_in_hand_is_answered_after_sigterm(
    start: Callable[..., Any], make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """SIGTERM refuses new calls, waits for the one whose message has not come, answers it, and exits with 0."""
    process = start("--package", str(make_package()), "--grpc-port", "0")
    go_on = threading.Event()

    def message() -> Iterator[bytes]:
        go_on.wait()
        yield raw(tensors([right])).SerializeToString()

    with grpc.insecure_channel(f"127.0.0.1:{process.first['grpc_port']}") as channel:
        call = channel.stream_unary(f"/{SERVICE}/ModelInfer").future(message())
        # Of one connection: the server has the first call when it answers the second.
        assert told_of(channel, "ServerReady").ready
        process.popen.terminate()
        while again(process.first["grpc_port"]) is not grpc.StatusCode.UNAVAILABLE:
            pass
        assert process.popen.poll() is None
        go_on.set()
        answer = Response.FromString(call.result())
    assert read(answer)[0]["data"] == [1]
    out, err = process.popen.communicate(timeout=60)
    assert (process.popen.returncode, out, err) == (0, "", "")


def test_no_secret_is_in_the_log(
    start: Callable[..., Any], make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """Of what a caller sends, taken or refused, nothing is printed."""
    secret = "hunter2-q8Zt"
    process = start("--package", str(make_package()), "--grpc-port", "0")
    metadata = (("authorization", f"Bearer {secret}"),)
    with grpc.insecure_channel(f"127.0.0.1:{process.first['grpc_port']}") as channel:
        infer_of(channel)(typed(tensors([right]), id=secret), metadata=metadata)
        for request in (
            typed(tensors([{**right, "carrier": secret}])),
            typed(changed(right, "month", name=secret)),
            Request(model_name=secret),
        ):
            with pytest.raises(grpc.RpcError):
                infer_of(channel)(request, metadata=metadata)
        for path, data in ((f"/{SERVICE}/ModelInfer", secret), (f"/{secret}", "")):
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(path)(data.encode())
    assert process.end() == (0, "", "")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


@pytest.mark.parametrize("value", [b"\xff\xfe hunter2", "hunter2 ☃".encode(), b"hunter2\x01"])
def test_metadata_that_is_no_text(
    start: Callable[..., Any], make_package: Callable[..., Path], value: bytes
) -> None:
    """It is not sent back, as that could not be; the call is answered all the same, and nothing of it is printed."""
    process = start("--package", str(make_package()), "--grpc-port", "0")
    headers = {
        b":method": b"POST", b":scheme": b"http", b":path": f"/{SERVICE}/ModelInfer".encode(), b":authority": b"x",
        b"te": b"trailers", b"content-type": b"application/grpc", b"x-request-id": value,
    }  # fmt: skip
    head = b"".join(b"\0%c%b%c%b" % (len(key), key, len(text), text) for key, text in headers.items())
    message = Request(model_name="other").SerializeToString()
    with socket.create_connection(("127.0.0.1", process.first["grpc_port"]), timeout=30) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        connection.sendall(frame(1, 4, 1, head))
        connection.sendall(frame(0, 1, 1, struct.pack(">BI", 0, len(message)) + message))
        answer = b""
        while b"x-penstock-version" not in answer and b"Invalid metadata" not in answer:
            answer += connection.recv(65536)
    assert b"there is no model 'other'" in answer
    assert b"hunter2" not in answer
    assert process.end() == (0, "", "")


def test_the_docs_client(start: Callable[..., Any], make_package: Callable[..., Path]) -> None:
    """Triton's client gets its answers as docs/function.md shows."""
    page = (ROOT / "docs/function.md").read_text()
    script, shown = re.findall(r"```python\n(import numpy.*?)```.*?```\n(.*?)```", page, re.DOTALL)[0]
    process = start("--package", str(make_package()), "--grpc-port", "0")
    script = script.replace("localhost:8081", f"localhost:{process.first['grpc_port']}")
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == shown


def test_the_protocols_own_client(
    start: Callable[..., Any], make_package: Callable[..., Path], right: dict[str, Any]
) -> None:
    """Its stubs, which are KServe's, get typed answers and what is told."""
    process = start("--package", str(make_package()), "--grpc-port", "0")
    script = f"""
import grpc
from open_inference.grpc import protocol
from open_inference.grpc.service import GRPCInferenceServiceStub
with grpc.insecure_channel("127.0.0.1:{process.first["grpc_port"]}") as channel:
    stub = GRPCInferenceServiceStub(channel)
    ready = stub.ServerReady(protocol.ServerReadyRequest()).ready and stub.ModelReady(protocol.ModelReadyRequest(name="delays")).ready
    model = stub.ModelMetadata(protocol.ModelMetadataRequest(name="delays"))
    request = protocol.ModelInferRequest.FromString({typed(tensors([right])).SerializeToString()!r})
    print(ready, *(each.name for each in model.outputs), *stub.ModelInfer(request).outputs[0].contents.int64_contents)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "True prediction probability 1\n"
