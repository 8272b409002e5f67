"""What the function counts, in the Prometheus text format."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from threading import Lock
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
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


class Histogram(Collector):
    """Counts values by the bucket that they fall in, a series for each value of `label`, where there is one.

    prometheus_client's own takes four times as long for each value, which is a part of each request's time.
    """

    def __init__(self, name: str, what: str, bounds: Sequence[float], label: str | None = None) -> None:
        """`bounds` ascend."""
        self._name = name
        self._what = what
        self._bounds = bounds
        self._label = label
        self._series: dict[str, _Series] = {}
        self._lock = Lock()
        if label is None:
            self._series[""] = _Series([0] * (len(bounds) + 1))

    def observe(self, value: float, of: str = "") -> None:
        """Count a value, in the series `of` that."""
        with self._lock:
            series = self._series.get(of)
            if series is None:
                series = self._series[of] = _Series([0] * (len(self._bounds) + 1))
            series.counts[bisect_left(self._bounds, value)] += 1
            series.sum += value

    def collect(self) -> Iterable[Metric]:
        """The histogram as Prometheus has it: each bucket with those below it."""
        with self._lock:
            seen = {of: (list(accumulate(each.counts)), each.sum) for of, each in self._series.items()}
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        family = HistogramMetricFamily(self._name, self._what, labels=[self._label] if self._label else [])
        for of, (counts, total) in seen.items():
            buckets = list(zip(names, counts, strict=True))
            family.add_metric([of] if self._label else [], buckets, total)
        yield family


@dataclass(slots=True)
class _Series:
    """How many values fell in each bucket, and their sum."""

    counts: list[int]
    sum: float = 0.0


def bounds_of(package: Package) -> list[float]:
    """The bounds of the scores' buckets: tenths of a probability, or of Spark's own answers to the samples."""
    if package.classes:
        return [tenth / 10 for tenth in range(1, 11)]
    found = [answer["prediction"] for answer in package.samples.answers if "prediction" in answer]
    return sorted({float(bound) for bound in np.quantile(found, np.linspace(0, 1, 11))})


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
            _BUCKETS,
            "path",
        )
        self._rows = Histogram(
            "penstock_rows", "Rows of an answered request.", (1, 10, 100, 1_000, 10_000, 100_000)
        )
        self._batch = Histogram(
            "penstock_batch_requests",
            "Requests of one record that were scored together.",
            (1, 2, 4, 8, 16, 32, 64),
        )
        for histogram in (self._seconds, self._rows, self._batch):
            self._registry.register(histogram)
        self._score: Score | None = None
        self._scores: Histogram | None = None
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

    def answered(self, path: str, status: int | str, seconds: float) -> None:
        """Count one answer, HTTP's number or gRPC's word for it; `path` is one of the routes, never what a client sent."""
        counter = self._counters.get((path, status))
        if counter is None:
            counter = self._counters[(path, status)] = self._requests.labels(path, str(status))
        counter.inc()
        self._seconds.observe(seconds, path)

    def scored(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Count the rows of one request, which got these answers."""
        self._rows.observe(len(answers))
        if self._score is not None and self._scores is not None:
            for score in map(self._score, answers):
                if score is not None:
                    self._scores.observe(score)

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
        self._score = score_of(package)
        if self._score is not None:
            self._scores = Histogram("penstock_score", "Answers, by score.", bounds_of(package))
            self._registry.register(self._scores)

    def text(self) -> bytes:
        """All metrics in the exposition format."""
        return generate_latest(self._registry)
