"""Spans of requests for OpenTelemetry, where its own environment variables name who takes them.

By its middleware and its exporter (OTLP over HTTP), which read the rest of their settings from the environment:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# What probes and scrapers ask all day tells nothing.
_UNTRACED = "health,metrics,v2/health"


class Tracing:
    """Spans as service `name` unless OTEL_SERVICE_NAME says another; none where nobody takes them."""

    def __init__(self, name: str) -> None:
        self._provider: TracerProvider | None = None
        if not any(map(os.environ.get, _ENDPOINTS)):
            return
        # Only who traces pays for them: they take as long to import as all the rest.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        os.environ.setdefault("OTEL_SERVICE_NAME", name)
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))

    def app(self, app: ASGIApp) -> ASGIApp:
        """The app with a span for each request."""
        if self._provider is None:
            return app
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        middleware: ASGIApp = OpenTelemetryMiddleware(
            app, excluded_urls=_UNTRACED, tracer_provider=self._provider, exclude_spans=["receive", "send"]
        )
        return middleware

    @contextmanager
    def call(self, method: str, metadata: Sequence[tuple[str, str]]) -> Iterator[Callable[[str], None]]:
        """A span for a call of gRPC's, within the trace of its metadata; gives what takes its status.

        OpenTelemetry's own interceptor would tell the status with its sentence, in which is what was asked. The
        attributes: https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
        """
        if self._provider is None:
            yield lambda status: None
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        with self._provider.get_tracer(__name__).start_as_current_span(
            method,
            extract(dict(metadata)),
            SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": method},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield lambda status: span.set_attribute("rpc.response.status_code", status)
