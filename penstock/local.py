"""A run here and now, without a scheduler: this process takes the steps of the chain and tells a `Watch`.

The same steps in the same order as the DAG's. What each job prints goes to the run's log file as well.
"""

from __future__ import annotations

import fcntl
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import IO, Protocol

from penstock.chain import Chain
from penstock.errors import Interrupted
from penstock.intervals import Interval
from penstock.record import Entry, Record, Run, RunOptions, RunState, now
from penstock.runner import ProcessRunner
from penstock.settings import Settings
from penstock.stages import CHAIN
from penstock.work import Outcome, Request

#: How many data intervals are collected and validated side by side.
_SIDE_BY_SIDE = 2
#: How often a job that was asked to stop is asked again: one may have been just about to start.
_STOP_SECONDS = 0.2


class Watch(Protocol):
    """What a run tells while it goes on; called from several threads, one call at a time.

    `name` is an entry's: `train`, or `collect@2013-06-01`.
    """

    def planned(self, run: Run) -> None: ...

    def began(self, name: str) -> None: ...

    def said(self, name: str, line: str) -> None: ...

    def ended(self, entry: Entry) -> None: ...


def new_run_id() -> str:
    """A run's id: when it was started, and something that no other run of that second has."""
    return f"local__{now():%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:6]}"


def log_path(settings: Settings, pipeline: str, run: str) -> Path:
    """Where a local run's log lies."""
    return settings.var / "logs" / "runs" / pipeline / f"{run}.log"


def run(chain: Chain, interval: Interval, options: RunOptions, watch: Watch) -> Record:
    """Plan a run for `interval` and take its steps, up to the first that ends it; returns its record.

    Raises Interrupted when the process was told to stop (KeyboardInterrupt): the jobs are ended before, and the
    record says so. What was done is kept, and reused by the next run.
    """
    name = new_run_id()
    path = log_path(chain.settings, chain.pipeline.name, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as log:
        # Held before the record is there and as long as this process lives: `state` asks for it.
        fcntl.flock(log, fcntl.LOCK_EX)
        planned = chain.plan(name, interval, options)
        _LocalRun(chain, planned, watch, log).go()
    return chain.record(name)


def state(record: Record, settings: Settings) -> RunState:
    """A run's state by its record, and `interrupted` for one of this machine that has no end and no process."""
    if record.state == "running" and _let_go(log_path(settings, record.run.pipeline, record.run.run)):
        return "interrupted"
    return record.state


def _let_go(log: Path) -> bool:
    """Whether a run's log is there and no process holds it: the system frees it however its process ended."""
    try:
        with log.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):  # no run of this machine; or one that goes on
        return False
    return True


class _LocalRun:
    def __init__(self, chain: Chain, planned: Run, watch: Watch, log: IO[str]) -> None:
        self._chain = chain
        self._run = planned
        self._watch = watch
        self._log = log
        self._telling = threading.Lock()
        self._stopping = threading.Event()
        self._runners: list[ProcessRunner] = []
        self._steps: list[Future[bool]] = []

    def go(self) -> None:
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            try:
                self._tell(lambda: self._watch.planned(self._run))
                self._take_steps(pool)
            except KeyboardInterrupt:
                self._stop()
                raise Interrupted(
                    f"run {self._run.run} was stopped from outside; its jobs are ended",
                    next_step="run again: what was done is kept",
                ) from None

    def _take_steps(self, pool: ThreadPoolExecutor) -> None:
        if not self._all_go_on([pool.submit(self._data, interval) for interval in self._run.window]):
            return
        for stage in CHAIN:
            if not stage.per_interval and not self._all_go_on([pool.submit(self._step, stage.name)]):
                return

    def _all_go_on(self, steps: list[Future[bool]]) -> bool:
        """Wait for them; after the first that ends the run those that have not begun never do."""
        self._steps = steps
        left = set(steps)
        while left:
            # The main thread waits here while others work: it is the one that Ctrl-C interrupts.
            done, left = wait(left, return_when=FIRST_COMPLETED)
            if not all(step.result() for step in done):
                left = {step for step in left if not step.cancel()}
        return all(not step.cancelled() and step.result() for step in steps)

    def _data(self, interval: Interval) -> bool:
        return all(self._step(stage.name, interval) for stage in CHAIN if stage.per_interval)

    def _step(self, stage: str, interval: Interval | None = None) -> bool:
        """Take one step; whether the run goes on after it."""
        if self._stopping.is_set():
            return False
        name = f"{stage}@{interval}" if interval else stage
        self._tell(lambda: self._watch.began(name))
        entry = self._chain.step(self._run.run, stage, lambda request: self._start(name, request), interval)
        self._write(name, f"{entry.state}: {entry.failure or entry.why}")
        self._tell(lambda: self._watch.ended(entry))
        return not entry.ends_run

    def _start(self, name: str, request: Request) -> Outcome:
        runner = ProcessRunner(self._chain.settings, lambda line: self._said(name, line))
        self._runners.append(runner)
        outcome = _STOPPED if self._stopping.is_set() else runner(request)
        return _STOPPED if self._stopping.is_set() and outcome.state == "failed" else outcome

    def _stop(self) -> None:
        self._stopping.set()
        for step in self._steps:
            step.cancel()
        while not all(step.done() for step in self._steps):
            for runner in self._runners:
                runner.stop()
            time.sleep(_STOP_SECONDS)

    def _said(self, name: str, line: str) -> None:
        self._write(name, line)
        self._tell(lambda: self._watch.said(name, line))

    def _write(self, name: str, line: str) -> None:
        with self._telling:
            self._log.write(f"{name} | {line}\n")
            self._log.flush()

    def _tell(self, what: Callable[[], None]) -> None:
        with self._telling:
            what()


_STOPPED = Outcome(
    state="failed",
    kind=Interrupted.kind,
    message="the job was stopped from outside",
    next_step="run again: what was done is kept",
    exit_code=Interrupted.exit_code,
)
