"""Starts a stage's job as a local process: the embedded way; a pod runs the same command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from penstock import launch
from penstock.durable import not_written
from penstock.settings import Settings
from penstock.work import Outcome, Request

Log = Callable[[str], None]


class ProcessRunner:
    """Runs `python -m jobs.<stage>` and hands each line that it prints to `log`.

    `environment` is added to the job's environment: connection URLs, never on the command line.
    """

    def __init__(self, settings: Settings, log: Log, environment: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._log = log
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, request: Request) -> Outcome:
        """Do a request in a process of its own; an Outcome also where the process died without one.

        Raises StoreError where the request cannot be written.
        """
        with self._asked(request) as request_path:
            outcome_path = request_path.with_name("outcome.json")
            command = launch.command(
                sys.executable, "-m", f"jobs.{request.stage}",
                "--request", str(request_path), "--outcome", str(outcome_path),
            )  # fmt: skip
            code = self._run(command, request_path.parent)
            try:
                return Outcome.model_validate_json(outcome_path.read_bytes())
            except (FileNotFoundError, ValidationError):
                return _died(request.stage, code)

    def stop(self) -> None:
        """End the job and all that it started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            with suppress(ProcessLookupError):  # none of its group is left
                os.killpg(self._process.pid, signal.SIGKILL)

    @contextmanager
    def _asked(self, request: Request) -> Iterator[Path]:
        """The file of a request, in a folder of its own that goes with it."""
        temporary = self._settings.var / "tmp"
        with ExitStack() as stack:
            try:
                temporary.mkdir(parents=True, exist_ok=True)
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="job-", dir=temporary))
                path = Path(folder) / "request.json"
                path.write_bytes(request.model_dump_json().encode())
            except OSError as error:
                raise not_written(error) from error
            yield path

    def _run(self, command: list[str], temporary: Path) -> int:
        # Airflow's own settings (its database, its keys) are not the job's business.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "_AIRFLOW"))}
        self._process = subprocess.Popen(
            command,
            cwd=self._settings.root,
            env={
                # Its fonts take seconds to find: kept, and like all that a job writes, below `var`.
                "MPLCONFIGDIR": str(self._settings.var / "cache" / "matplotlib"),
                **inherited,
                **self._settings.environment(),
                **self._environment,
                "TMPDIR": str(temporary),
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._log(line.rstrip("\n"))
            return self._process.wait()
        finally:
            self.stop()


def _died(stage: str, code: int) -> Outcome:
    if code == -signal.SIGKILL:
        return Outcome(
            state="failed",
            kind="killed",
            message=f"the job of stage {stage} was killed (SIGKILL): often the machine was out of memory",
            next_step=f"give `resources={{'{stage}': ...}}` less memory or the machine more, then run again: what was done is kept",
        )
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return Outcome.unanswered(stage, code, how)
