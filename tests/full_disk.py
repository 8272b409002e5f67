"""A full disk for a process: the kernel's own limit on file sizes, which can be lifted again.

Each write fails in the same system call as on a full disk, with EFBIG where that says ENOSPC. Python itself takes a
module's bytecode that fits in part for written: a process that is limited so must write none (PYTHONDONTWRITEBYTECODE),
or it breaks this installation for all others.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def full_disk(free: int, process: subprocess.Popen[Any] | None = None) -> Iterator[None]:
    """No file of `process` may grow beyond `free` bytes meanwhile.

    Without one it is this process and those that it starts; another one must have been started with NO_BYTECODE.
    """
    limited = psutil.Process(process.pid if process else None)
    before = limited.rlimit(psutil.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        if process is None:
            patch.setattr("sys.dont_write_bytecode", True)
            for name, value in NO_BYTECODE.items():
                patch.setenv(name, value)
        limited.rlimit(psutil.RLIMIT_FSIZE, (free, before[1]))
        try:
            yield
        finally:
            limited.rlimit(psutil.RLIMIT_FSIZE, before)
