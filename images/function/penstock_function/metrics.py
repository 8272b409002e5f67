"""What the function counts, in the Prometheus text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from operator import itemgetter
from threading import Lock
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from penstock_function.package import Package

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Seconds. A record takes a fraction of a millisecond, the largest body allowed takes about a second.
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


#: From an answer its score: None where the model had no number for it.
Score = Callable[[Mapping[str, Any]], float | None]


class Scores(Collector):
    """How the answers spread: the probability of the second of two classes, of the surest of more, or the number itself.

    The bounds of a number are the tenths of Spark's own answers to the samples.
    """

    def __init__(self, package: Package, score: Score) -> None:
        self._score = score
        if package.classes:
            bounds = [tenth / 10 for tenth in range(1, 11)]
        else:
            found = [answer["prediction"] for answer in package.samples.answers if "prediction" in answer]
            bounds = sorted({float(bound) for bound in np.quantile(found, np.linspace(0, 1, 11))})
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def add(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Count answers; one that is null is left out."""
        bounds, counts, total = self._bounds, self._counts, 0.0
        with self._lock:
            for score in map(self._score, answers):
                if score is not None:
                    counts[bisect_left(bounds, score)] += 1
                    total += score
            self._sum += total

    def collect(self) -> Iterable[Metric]:
        """The histogram as Prometheus has it: each bucket with those below it."""
        with self._lock:
            counts, total = list(accumulate(self._counts)), self._sum
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        yield HistogramMetricFamily(
            "penstock_score",
            "Answers, by score.",
            buckets=list(zip(names, counts, strict=True)),
            sum_value=total,
        )


def score_of(package: Package) -> Score | None:
    """What an answer's score is; None of classes without their probabilities, which have none."""
    if not package.classes:
        return itemgetter("prediction")
    if package.output == "prediction":
        return None
    if len(package.classes) == 2:
        second = str(package.classes[1])
        return lambda answer: answer["probability"][second]
    return lambda answer: max(filter(None, answer["probability"].values()), default=None)


class Metrics:
    """The counters of one server; each has its own registry, so that two servers can live in one process.

    `in_work` tells how many large bodies are in work, or wait for it.
    """

    def __init__(self, in_work: Callable[[], float]) -> None:
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
        self._rows = Histogram(
            "penstock_rows",
            "Rows of an answered request.",
            buckets=(1, 10, 100, 1_000, 10_000, 100_000),
            registry=self._registry,
        )
        self._batch = Histogram(
            "penstock_batch_requests",
            "Requests of one record that were scored together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self._registry,
        )
        self._scores: Scores | None = None
        self._errors = Counter(
            "penstock_errors", "Requests refused or failed, by kind.", ["kind"], registry=self._registry
        )
        self._logged = Counter(
            "penstock_logged_rows",
            "Rows sampled for the prediction log: written, or dropped as the writer was behind (backlog), the spool full, or"
            " the disk failed.",
            ["outcome"],
            registry=self._registry,
        )
        self._model = Gauge(
            "penstock_model_info",
            "The model that answers; always 1.",
            ["name", "version", "key"],
            registry=self._registry,
        )
        gauge = Gauge(
            "penstock_large_requests", "Large requests in work or waiting.", registry=self._registry
        )
        gauge.set_function(in_work)
        # Looking a label up takes longer than counting.
        self._counters: dict[tuple[str, int | str], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def answered(self, path: str, status: int | str, seconds: float) -> None:
        """Count one answer, HTTP's number or gRPC's word for it; `path` is one of the routes, never what a client sent."""
        counter = self._counters.get((path, status))
        if counter is None:
            counter = self._counters[(path, status)] = self._requests.labels(path, str(status))
            self._histograms[path] = self._seconds.labels(path)
        counter.inc()
        self._histograms[path].observe(seconds)

    def scored(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Count the rows of one request, which got these answers."""
        self._rows.observe(len(answers))
        if self._scores is not None:
            self._scores.add(answers)

    def batched(self, requests: int) -> None:
        """Count one batch of so many requests."""
        self._batch.observe(requests)

    def failed(self, kind: str) -> None:
        """Count a refusal or failure; `kind` is one of a few words of ours."""
        self._errors.labels(kind).inc()

    def logged(self, outcome: str, rows: int) -> None:
        """Count rows of the prediction log by what became of them: written, backlog, full or disk."""
        self._logged.labels(outcome).inc(rows)

    def serves(self, package: Package) -> None:
        """Name the model that answers."""
        self._model.labels(package.name, package.version, package.key).set(1)
        score = score_of(package)
        if score is not None:
            self._scores = Scores(package, score)
            self._registry.register(self._scores)

    def text(self) -> bytes:
        """All metrics in the exposition format."""
        return generate_latest(self._registry)
