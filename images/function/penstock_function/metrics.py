"""What the function counts, in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from penstock_function.package import Package

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Seconds. A record takes a fraction of a millisecond, the largest body allowed takes about a second.
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The counters of one server; each has its own registry, so that two servers can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "penstock_requests", "Requests answered.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "penstock_request_seconds",
            "Time from the first byte of a request being handled to its answer.",
            ["path"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._rows = Counter("penstock_rows", "Rows scored.", registry=self._registry)
        self._errors = Counter(
            "penstock_errors", "Requests refused or failed, by kind.", ["kind"], registry=self._registry
        )
        self._model = Gauge(
            "penstock_model_info",
            "The model that answers; always 1.",
            ["name", "version", "key"],
            registry=self._registry,
        )
        #: Large bodies in work, or waiting for it.
        self.waiting = 0
        gauge = Gauge(
            "penstock_large_requests", "Large requests in work or waiting.", registry=self._registry
        )
        gauge.set_function(lambda: self.waiting)
        # Looking a label up takes longer than counting.
        self._counters: dict[tuple[str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one answer; `path` is one of the routes, never what a client sent."""
        counter = self._counters.get((path, status))
        if counter is None:
            counter = self._counters[(path, status)] = self._requests.labels(path, str(status))
            self._histograms[path] = self._seconds.labels(path)
        counter.inc()
        self._histograms[path].observe(seconds)

    @contextmanager
    def large(self) -> Iterator[None]:
        """Count a large body as in work meanwhile."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def scored(self, rows: int) -> None:
        """Count rows that got an answer."""
        self._rows.inc(rows)

    def failed(self, kind: str) -> None:
        """Count a refusal or failure; `kind` is one of a few words of ours."""
        self._errors.labels(kind).inc()

    def serves(self, package: Package) -> None:
        """Name the model that answers."""
        self._model.labels(package.name, package.version, package.key).set(1)

    def text(self) -> bytes:
        """All metrics in the exposition format."""
        return generate_latest(self._registry)
