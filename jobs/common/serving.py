"""A function runtime as the function host starts it, for as long as a job needs it."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penstock import launch, runtimes
from penstock.host.limits import Limits
from penstock.host.process import environment
from penstock.signatures import PUBLIC_KEYS
from penstock_function.package import PackageError


@dataclass(frozen=True)
class Serving:
    """A runtime that is ready: its port of loopback, its process, when that was started and how long it took to be ready (seconds)."""

    port: int
    pid: int
    started: float
    seconds: float

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(kind: runtimes.Kind, package: Path | None, *, signed: bool = True) -> Iterator[Serving]:
    """The runtime of that kind, which has proved the package in a folder, or has none; it ends with the block.

    Where there are public keys, one of them must have signed the package, unless that is not asked (`signed`).

    Raises:
        PackageError: it did not get Spark's answers to the package's samples, or would not have it.
        PenstockError: the runtime is not there.
    """
    memory = Limits().memory_bytes
    program = runtimes.command(kind, package and package.resolve(), memory_bytes=memory)
    given = environment()
    if not signed:
        given.pop(PUBLIC_KEYS, None)
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile() as trouble,
        subprocess.Popen(
            launch.command(*program, memory_bytes=memory),
            env=given,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=trouble,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            ready = time.perf_counter()
            if not line:
                trouble.seek(0)
                raise PackageError(_reason(trouble.read().decode(errors="replace").strip()))
            yield Serving(json.loads(line)["port"], process.pid, started, ready - started)
        finally:
            process.kill()


def _reason(said: str) -> str:
    """Why a runtime did not serve: the `reason` of its last line, or all that it said."""
    try:
        return str(json.loads(said.splitlines()[-1])["reason"])
    except (ValueError, LookupError, TypeError):
        return f"the runtime ended before it served: {said}"
