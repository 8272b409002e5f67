"""Spans of requests: sent where OpenTelemetry's variables say, as part of the caller's trace; nothing rests on who takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.images.function.test_open_inference import tensors
from tests.images.function.test_open_inference_grpc import typed
from tests.servers import free_port

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ExportTraceServiceRequest]]:
    """What a collector on this machine got, to which the environment points."""
    got: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            got.append(
                ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield got
        server.shutdown()


def spans_of(got: list[ExportTraceServiceRequest]) -> list[Any]:
    """All spans in the order in which they came."""
    resources = [each for request in got for each in request.resource_spans]
    return [span for each in resources for scope in each.scope_spans for span in scope.spans]


def test_a_request_is_a_span_of_its_callers_trace(
    start: Callable[..., Any],
    make_package: Callable[..., Path],
    right: dict[str, Any],
    collector: list[ExportTraceServiceRequest],
) -> None:
    """It has the function's name and the status, and nothing of what was asked; a probe is none. All are sent by the end."""
    process = start("--package", str(make_package()))
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    with httpx.Client(base_url=process.url, timeout=30) as caller:
        assert caller.post("/predict", json={**right, "carrier": "DL"}, headers=headers).status_code == 200
        assert (
            caller.post("/predict", json={**right, "carrier": "secret"}, headers=headers).status_code == 422
        )
        assert caller.get("/health").status_code == 200
        assert caller.get("/metrics").status_code == 200
    assert process.end() == (0, "", "")
    spans = spans_of(collector)
    assert [span.name for span in spans] == ["POST /predict"] * 2
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in spans} == {(TRACE, CALLER)}
    told = [{each.key: each.value for each in span.attributes} for span in spans]
    assert [each["http.status_code"].int_value for each in told] == [200, 422]
    names = {
        each.value.string_value
        for request in collector
        for one in request.resource_spans
        for each in one.resource.attributes
        if each.key == "service.name"
    }
    assert names == {"delays"}
    assert "secret" not in str(collector)


def test_a_call_of_grpc_is_one_too(
    start: Callable[..., Any],
    make_package: Callable[..., Path],
    right: dict[str, Any],
    collector: list[ExportTraceServiceRequest],
) -> None:
    """It has the method's name and gRPC's status, and nothing of what was asked."""
    process = start("--package", str(make_package()), "--grpc-port", "0")
    metadata = (("traceparent", f"00-{TRACE}-{CALLER}-01"),)
    with grpc.insecure_channel(f"127.0.0.1:{process.first['grpc_port']}") as channel:
        for carrier in ("DL", "secret"):
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer").future
            call(
                typed(tensors([{**right, "carrier": carrier}])).SerializeToString(), metadata=metadata
            ).code()
    assert process.end() == (0, "", "")
    spans = spans_of(collector)
    assert [span.name for span in spans] == ["inference.GRPCInferenceService/ModelInfer"] * 2
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in spans} == {(TRACE, CALLER)}
    told = [{each.key: each.value.string_value for each in span.attributes} for span in spans]
    assert [each["rpc.response.status_code"] for each in told] == ["OK", "INVALID_ARGUMENT"]
    assert "secret" not in str(collector)


def test_nobody_who_takes_them_harms_nothing(
    start: Callable[..., Any],
    make_package: Callable[..., Path],
    right: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests are answered and the end is a good one; the log says, in JSON, that the spans were lost."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    process = start("--package", str(make_package()))
    assert httpx.post(f"{process.url}/predict", json=right, timeout=30).status_code == 200
    code, out, err = process.end()
    assert (code, out) == (0, "")
    lines = [json.loads(line) for line in err.splitlines()]
    assert lines
    assert {line["logger"].partition(".")[0] for line in lines} == {"opentelemetry"}
