"""A real host in a process of its own, and what a test wants to see and do to it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

from penstock.host.manifest import read_manifest
from penstock.runtimes import is_one
from tests.full_disk import NO_BYTECODE


def zip_of(package: Path) -> bytes:
    """The package as a client sends it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(path for path in package.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(package))
    return buffer.getvalue()


def until(true: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait for something to become true; the bound only keeps a broken test from hanging."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


class RunningHost:
    """A host on `state` that can be started, killed and started again, with a client that knows its token."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(trust_env=False, timeout=30)

    def start(self, *more: str, environment: Mapping[str, str] | None = None) -> None:
        """Start it, with `more` arguments, and wait until it answers."""
        self.state.mkdir(exist_ok=True)
        (self.state / "host.json").unlink(missing_ok=True)
        with open(self.state / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "penstock.host", "--state", str(self.state), "--port", "0", *more],
                stderr=errors,
                env={**os.environ, **NO_BYTECODE, **(environment or {})},
            )
        until(self._answers, f"the host answers; it said {(self.state / 'stderr').read_text()!r}")
        token = (self.state / "token").read_text()
        self.client.headers["Authorization"] = f"Bearer {token}"

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.state / "stderr").read_text()
        try:
            record = json.loads((self.state / "host.json").read_text())
            self.client.base_url = httpx.URL(record["url"])
            return self.client.get("/health").status_code == 200
        except (FileNotFoundError, httpx.TransportError):
            return False

    def kill(self) -> None:
        """SIGKILL, as the kernel does it when memory runs out."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End what is left of it."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for runtime in self.runtimes():
            runtime.kill()

    def runtimes(self) -> list[psutil.Process]:
        """Every process that runs a function of this host's folder."""
        found = []
        for process in psutil.process_iter():
            try:
                command = process.cmdline()
            except psutil.Error:
                continue
            if is_one(command) and any(part.startswith(f"{self.state}/") for part in command):
                found.append(process)
        return found

    def put(self, package: Path, *, name: str = "shift") -> httpx.Response:
        """Upload a package under the revision that it makes."""
        _, revision = read_manifest(package)
        return self.client.put(f"/functions/{name}/revisions/{revision}", content=zip_of(package))

    def route(self, revision: str, *, name: str = "shift") -> httpx.Response:
        """Move the live pointer."""
        return self.client.put(f"/functions/{name}/traffic", json={"revision": revision})

    def deploy(self, package: Path) -> str:
        """Put and route, both of which must work."""
        put = self.put(package)
        assert put.status_code in (200, 201), put.text
        revision = str(put.json()["revision"])
        routed = self.route(revision)
        assert routed.status_code == 200, routed.text
        return revision

    def predict(self, x: float = 1.0, *, name: str = "shift") -> httpx.Response:
        """Ask the live function."""
        return self.client.post(f"/functions/{name}/predict", json={"x": x})

    def clear(self) -> None:
        """Make it a running host without functions again."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        for function in self.client.get("/functions").json()["functions"]:
            assert self.client.delete(f"/functions/{function['name']}").status_code == 204

    def status(self, *, name: str = "shift") -> dict[str, Any]:
        """The function's status."""
        answer = self.client.get(f"/functions/{name}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def states(self, *, name: str = "shift") -> dict[str, str]:
        """The state of each revision."""
        revisions = self.client.get(f"/functions/{name}").json()["revisions"]
        return {entry["revision"]: entry["state"] for entry in revisions}

    def files(self) -> set[str]:
        """Every file below the folder that is state: not the logs, not the host's own record."""
        kept = {path.relative_to(self.state).as_posix() for path in self.state.rglob("*")}
        return {path for path in kept if path.startswith(("functions/", "incoming/"))}
