"""Measures a function package by the very runtime that serves it, started as the function host starts it.

What is measured is the model: of a package with steps, the same package without them, which nobody signed and which runs no
code of the user's. Requests are the package's samples.
Where other work of the machine can only spoil a figure, it is the best of several rounds.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil

from jobs.common.serving import Serving, serving
from penstock.fit.figures import Figures, Warm
from penstock.runtimes import Kind
from penstock_function.package import MANIFEST, SCORE, Package, PackageError

_WARM = 200  # requests before anything is measured
_ROUNDS = 3
_REQUESTS = 1000  # of a round
_CLIENTS = 8
_MANY = 100  # records of a large request
_LARGE = 50  # such requests of a round
#: What `figures` does one after another.
STEPS = 3


def warm(folder: Path) -> Warm:
    """What the package in `folder` takes once it is warm.

    Raises:
        PackageError: it is none, or does not prove itself, or none of its samples is answered.
        PenstockError: its runtime is not there.
    """
    with _model_alone(folder) as model, serving(model.kind, model.folder, signed=False) as runtime:
        return _warm(model, runtime)


def figures(folder: Path, step: Callable[[str], None]) -> Figures:
    """All that is measured of the package in `folder`; `step` is told what begins, STEPS times. Raises as `warm` does."""
    with _model_alone(folder) as model:
        step("warm requests")
        with serving(model.kind, model.folder, signed=False) as runtime:
            found = _warm(model, runtime)
            step("several clients at once")
            requests = _a_core_second(runtime, model.requests(), _REQUESTS, _CLIENTS)
            records = _MANY * _a_core_second(runtime, [model.request_of(_MANY)], _LARGE, 1)
        step("starts")
        # In turn, so that both see the same of whatever else the machine does.
        starts = [(_start(model.kind, None), _start(model.kind, model)) for _ in range(_ROUNDS)]
    bare, loaded = zip(*starts, strict=True)
    start_ms = min(each.ready_ms for each in bare)
    return Figures(
        **found.model_dump(),
        rest_bytes=round(statistics.median(each.memory for each in bare)),
        loaded_bytes=round(statistics.median(each.memory for each in loaded)),
        start_ms=start_ms,
        prove_ms=max(0.0, min(each.ready_ms for each in loaded) - start_ms),
        first_answer_ms=min(each.answer_ms for each in loaded),
        requests_a_second=requests,
        records_a_second=records,
    )


@dataclass(frozen=True)
class _Model:
    """What is started: a package without steps in `folder`. `size` is that of the package it was made from."""

    folder: Path
    package: Package
    size: int

    @property
    def kind(self) -> Kind:
        return self.package.runtime

    @property
    def answered(self) -> list[dict[str, Any]]:
        """The records of the samples that are answered and not refused."""
        samples = self.package.samples
        return [
            dict(record)
            for record, answer in zip(samples.records, samples.answers, strict=True)
            if "invalid" not in answer
        ]

    def requests(self) -> list[bytes]:
        """A request of one record for each of these."""
        return [json.dumps(record).encode() for record in self.answered]

    def request_of(self, records: int) -> bytes:
        """One request of so many records."""
        return json.dumps(list(islice(cycle(self.answered), records))).encode()

    @property
    def payload(self) -> int:
        """Bytes of the largest record or answer of the samples."""
        samples = self.package.samples
        return max(len(json.dumps(value).encode()) for value in (*samples.records, *samples.answers))


@contextmanager
def _model_alone(folder: Path) -> Iterator[_Model]:
    package = Package.load(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory(prefix="fit-") as name:
        alone = folder
        if package.before or package.after:
            alone = Path(shutil.copytree(folder, Path(name) / "package"))
            manifest = json.loads((alone / MANIFEST).read_bytes())
            shutil.rmtree(alone / "steps")
            manifest["files"] = {
                place: sha for place, sha in manifest["files"].items() if not place.startswith("steps/")
            }
            (alone / MANIFEST).write_text(json.dumps({**manifest, "steps": [SCORE]}), encoding="utf-8")
        model = _Model(alone, package, size)
        if not model.answered:
            raise PackageError(
                f"{package.name} refuses each of its samples: there is nothing to measure it by"
            )
        yield model


def _warm(model: _Model, runtime: Serving) -> Warm:
    requests = model.requests()
    own, clock = [], []
    with _client(runtime) as ask:
        for body in islice(cycle(requests), _WARM):
            ask(body)
        for _ in range(_ROUNDS):
            seen = [_timed(ask, body, runtime.pid) for body in islice(cycle(requests), _REQUESTS)]
            own.append(sorted(each[0] for each in seen))
            clock.append(sorted(each[1] for each in seen))
    memory = psutil.Process(runtime.pid).memory_full_info()
    return Warm(
        size_bytes=model.size,
        memory_bytes=memory.rss,
        private_bytes=memory.uss,
        own_p99_ms=min(_part(times, 0.99) for times in own),
        p50_ms=min(_part(times, 0.5) for times in clock),
        p99_ms=min(_part(times, 0.99) for times in clock),
        payload_bytes=model.payload,
    )


def _a_core_second(runtime: Serving, requests: Sequence[bytes], count: int, clients: int) -> float:
    """Requests for a second of the runtime's processor time, where `clients` send `count`, each its next once its last is answered.

    No matter how fast they send, or what else the machine does: that is not the runtime's time.
    """

    def send(share: int) -> None:
        with _client(runtime) as ask:
            for body in islice(cycle(requests), share):
                ask(body)

    each = count // clients
    found = []
    with ThreadPoolExecutor(clients) as pool:
        for _ in range(_ROUNDS):
            before = _processor(runtime.pid)
            list(pool.map(send, [each] * clients))
            found.append(each * clients / (_processor(runtime.pid) - before))
    return max(found)


@dataclass(frozen=True)
class _Start:
    """Start of a process until it is ready and, with a package, until it answers (ms); resident memory in between (bytes)."""

    ready_ms: float
    answer_ms: float
    memory: int


def _start(kind: Kind, model: _Model | None) -> _Start:
    with serving(kind, None if model is None else model.folder, signed=False) as runtime:
        memory = psutil.Process(runtime.pid).memory_info().rss
        answered = runtime.seconds
        if model is not None:
            with _client(runtime) as ask:
                ask(model.requests()[0])
            answered = time.perf_counter() - runtime.started
        return _Start(runtime.seconds * 1e3, answered * 1e3, memory)


@contextmanager
def _client(runtime: Serving) -> Iterator[Callable[[bytes], None]]:
    """Sends requests over one connection, and has the answers. It is the client of Python's library, as it is light."""
    connection = HTTPConnection("127.0.0.1", runtime.port, timeout=60)

    def ask(body: bytes) -> None:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        said = response.read()
        if response.status != 200:
            raise PackageError(
                f"a sample is answered with {response.status}: {said.decode(errors='replace')}"
            )

    try:
        yield ask
    finally:
        connection.close()


def _timed(ask: Callable[[bytes], None], body: bytes, pid: int) -> tuple[float, float]:
    """The runtime's own processor time for a request, and its time by the clock, in ms."""
    own, clock = _processor(pid), time.perf_counter()
    ask(body)
    took = time.perf_counter() - clock
    # Elsewhere processor time is told in steps of 10 ms: no measure of one request.
    return (_processor(pid) - own if sys.platform == "linux" else took) * 1e3, took * 1e3


def _processor(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    if sys.platform == "linux":
        # The clock of another process (clock_getcpuclockid(3)), numbered as the kernel does: include/linux/posix-timers.h.
        return time.clock_gettime(~pid << 3 | 2)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _part(ascending: Sequence[float], share: float) -> float:
    return ascending[int(share * len(ascending))]
