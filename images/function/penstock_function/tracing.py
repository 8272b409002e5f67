"""Spans of requests for OpenTelemetry, where its own environment variables name who takes them.

By its middleware and its exporter (OTLP over HTTP), which read the rest of their settings from the environment:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os

from starlette.types import ASGIApp

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# What probes and scrapers ask all day tells nothing.
_UNTRACED = "health,metrics,v2/health"


def traced(app: ASGIApp, name: str) -> ASGIApp:
    """The app with a span for each request, as service `name` unless OTEL_SERVICE_NAME says another; else the app itself."""
    if not any(map(os.environ.get, _ENDPOINTS)):
        return app
    # Only who traces pays for them: they take as long to import as all the rest.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault("OTEL_SERVICE_NAME", name)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    middleware: ASGIApp = OpenTelemetryMiddleware(
        app, excluded_urls=_UNTRACED, tracer_provider=provider, exclude_spans=["receive", "send"]
    )
    return middleware
