"""The embedded target: functions on this machine's own function host."""

from __future__ import annotations

import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from filelock import FileLock
from pydantic import ValidationError

from penstock import processes
from penstock.host.manifest import REVISION_HEADER
from penstock.host.state import HostRecord
from penstock.processes import Process, ProcessError
from penstock.rollout.record import Action
from penstock.spec.function import Function
from penstock.spec.rollout import Rollout
from penstock.targets import Status, TargetError
from penstock.targets.asking import object_in, with_faults
from penstock.targets.sending import as_json, zipped

#: Where a person finds the host unless told otherwise.
USUAL_PORT = 8793
_START_SECONDS = 30.0
# Longer than the host itself takes to give up: a proof or an answer is 60 s at most, an upload 300 s.
_TIMEOUT = httpx.Timeout(400.0, connect=5.0)


class EmbeddedTarget:
    """The function host of one state folder: started on demand, spoken to over HTTP.

    The host need not be this process's child: whoever starts it, every target of the same folder finds it.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir.resolve()
        # The environment's proxies are for the world outside, not for loopback.
        self._client = httpx.Client(trust_env=False, timeout=_TIMEOUT)

    # -- the host -------------------------------------------------------------------------------------------

    def url(self) -> str | None:
        """The address of the running host; None when none answers."""
        record = self._record()
        return record.url if record is not None and self._healthy(record) else None

    def prepare(self) -> None:
        """Start the host unless it runs: on PENSTOCK_HOST_PORT, else on its usual port, else on any free one."""
        if wanted := os.environ.get("PENSTOCK_HOST_PORT"):
            self.ensure_running(int(wanted))
        elif self.url() is None:
            try:
                self.ensure_running(USUAL_PORT)
            except TargetError:  # another program, or another checkout's host, has it
                self.ensure_running()

    def ensure_running(self, port: int | None = None) -> str:
        """Start the host, detached, unless it runs; return its URL once it answers.

        `port` None means the running host's, or any free one. Two callers at once start one host. Raises
        TargetError when it does not come up, or runs on another port.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self._folder / "start.lock"):
            record = self._record()
            # One that lives may be ending just now: then a new one takes over.
            url = self._await(_process(record)) if record is not None else None
            url = url or self._await(self._spawn(port or 0))
        if url is None:
            raise TargetError(
                f"the function host did not come up: {self._last_words()}",
                next_step=f"see {self._folder / 'host.log'}",
            )
        if port and httpx.URL(url).port != port:
            raise TargetError(
                f"the function host of {self._folder} runs at {url}, expected port {port}",
                next_step="stop it first, or use that address",
            )
        return url

    def stop(self, timeout: float = 75.0) -> None:
        """End the host and its functions, letting it answer what it has begun; killed after `timeout` seconds.

        A host that does not run is no error. Raises ProcessError when something survives.
        """
        if self._record() is None:
            return
        with FileLock(self._folder / "start.lock"):
            record = self._record()
            if record is not None:
                processes.stop(_process(record), timeout)

    def _spawn(self, port: int) -> Process:
        argv = [sys.executable, "-m", "penstock.host", "--state", str(self._folder), "--port", str(port)]
        try:
            return processes.spawn("function-host", argv, os.environ, self._folder / "host.log")
        except ProcessError as error:
            raise TargetError(error.message, next_step=error.next_step) from error

    def _await(self, process: Process) -> str | None:
        """The URL of that host once it answers; None when it ends, or does not answer in time."""
        deadline = time.monotonic() + _START_SECONDS
        while processes.alive(process) and time.monotonic() < deadline:
            record = self._record()
            if record is not None and record.pid == process.pid and self._healthy(record):
                return record.url
            time.sleep(0.03)
        return None

    def _last_words(self) -> str:
        try:
            lines = (self._folder / "host.log").read_text("utf-8", "replace").split("\n")
        except FileNotFoundError:
            lines = []
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"no answer within {_START_SECONDS:g} s"

    def _record(self) -> HostRecord | None:
        path = self._folder / "host.json"
        try:
            return HostRecord.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise TargetError(
                f"{path} is not the record of a function host: {error.errors()[0]['msg']}",
                next_step="end the host by hand if it runs, then delete the file",
            ) from error

    def _healthy(self, record: HostRecord) -> bool:
        """Whether that very host answers, and no stranger on the port that it had."""
        try:
            answer = self._client.get(f"{record.url}/health", timeout=5.0)
        except httpx.HTTPError:
            return False
        found = object_in(answer) or {}
        return (found.get("pid"), found.get("birth")) == (record.pid, record.birth)

    # -- the functions --------------------------------------------------------------------------------------

    def put(self, package: Path) -> str:
        """Upload the package in folder `package`; its revision, once it has proved itself. See `Target`."""
        # Stored: it goes over loopback, where compressing costs more than it saves.
        manifest, revision, content = zipped(package, zipfile.ZIP_STORED)
        self._call(
            "PUT",
            f"/functions/{manifest.name}/revisions/{revision}",
            content=content,
            headers=self._token() | {"Content-Type": "application/zip"},
        )
        return revision

    def route(self, name: str, revision: str) -> None:
        """Make `revision` answer the live name. See `Target`."""
        self.administer("PUT", _path(name, "traffic"), json={"revision": revision})

    def roll_out(self, name: str, revision: str, plan: Rollout, run: str) -> None:
        """Begin a rollout. See `Target`."""
        asked = {"revision": revision, "plan": plan.model_dump(mode="json"), "run": run}
        self.administer("PUT", _path(name, "rollout"), json=asked)

    def take_step(self, name: str) -> Status:
        """The host takes all steps itself. See `Target`."""
        return self.status(name)

    def steer(self, name: str, action: Action) -> Status:
        """Pause, resume, promote or abort the rollout. See `Target`."""
        done = self.administer("POST", _path(name, "rollout", action))
        return Status.model_validate(done.json())

    def attach(self, name: str) -> None:
        """The host knows no events. See `Target`."""

    def invoke(self, name: str, payload: Any) -> Any:
        """The live revision's answer to `payload`. See `Target`."""
        body = as_json(name, payload)
        headers = {"Content-Type": "application/json"}
        return self._call("POST", _path(name, "predict"), content=body, headers=headers).json()

    def serving(self, name: str) -> str:
        """The revision that answers behind the live name. See `Target`."""
        return self._call("GET", _path(name, "health")).headers[REVISION_HEADER]

    def status(self, name: str) -> Status:
        """What the host knows of the function. See `Target`."""
        return Status.model_validate(self._call("GET", _path(name)).json())

    def curl(self, url: str) -> str:
        """A request of /predict. See `Target`."""
        return f"curl -s {url}/predict"

    def logs(self, name: str, lines: int = 100) -> list[str]:
        """The last `lines` lines that the function printed. Raises TargetError."""
        return self._call("GET", _path(name, "logs"), params={"lines": lines}).text.splitlines()

    def remove(self, name: str) -> None:
        """Take the function away. See `Target`."""
        try:
            self.administer("DELETE", _path(name))
        except TargetError as error:
            if error.status != 404:
                raise

    def administer(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A call of the host's own API (docs/host.md), with its token. Raises TargetError."""
        return self._call(method, path, headers=self._token(), **request)

    def _place(self) -> str:
        """The URL of the host to ask."""
        record = self._record()
        # While it lives its port is its own: nobody else is sent the token, or answers in its place.
        if record is None or not processes.alive(_process(record)):
            raise TargetError(
                f"no function host runs for {self._folder}", next_step="start it with `penstock up`"
            )
        return record.url

    def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        place = self._place()
        try:
            answer = self._client.request(method, place + path, **request)
        except httpx.HTTPError as error:
            raise TargetError(
                f"the function host at {place} did not answer {method} {path}: {error or type(error).__name__}",
                next_step=f"see the host's log ({self._folder / 'host.log'} where it runs)",
            ) from error
        if answer.is_success:
            return answer
        why, next_step = _reason(answer)
        raise TargetError(
            f"{method} {path}: {answer.status_code}: {why}", next_step=next_step, status=answer.status_code
        )

    def _token(self) -> dict[str, str]:
        path = self._folder / "token"
        try:
            return {"Authorization": f"Bearer {path.read_text('ascii').strip()}"}
        except OSError as error:
            raise TargetError(
                f"the token of the function host cannot be read: {error}",
                next_step="start the host with `penstock up`, as the same user",
            ) from error


class RemoteHost(EmbeddedTarget):
    """The function host of another machine, at PENSTOCK_HOST_URL, whose token PENSTOCK_HOST_TOKEN is."""

    def prepare(self) -> None:
        """Whoever runs the host has started it."""

    def url(self) -> str:
        return os.environ["PENSTOCK_HOST_URL"].rstrip("/")

    def _place(self) -> str:
        return self.url()

    def _token(self) -> dict[str, str]:
        if not (token := os.environ.get("PENSTOCK_HOST_TOKEN")):
            raise TargetError(
                f"nothing may be changed on the function host at {self.url()}: PENSTOCK_HOST_TOKEN is not set",
                next_step="set it to what the file `token` of the host's state folder holds",
            )
        return {"Authorization": f"Bearer {token}"}


def open_embedded(_: Function, state_dir: Path) -> EmbeddedTarget:
    """The function host that PENSTOCK_HOST_URL names, else this machine's own."""
    return RemoteHost(state_dir) if os.environ.get("PENSTOCK_HOST_URL") else EmbeddedTarget(state_dir)


def _path(name: str, *rest: str) -> str:
    return "/".join(("/functions", quote(name, safe=""), *rest))


def _process(record: HostRecord) -> Process:
    return Process(name="function-host", pid=record.pid, birth=record.birth)


def _reason(answer: httpx.Response) -> tuple[str, str | None]:
    body = object_in(answer) or {}
    if "error" not in body:
        return answer.text[:200], None
    return with_faults(body["error"], body), body.get("next_step")
