"""Turns itself into a job or a function's runtime: bounds first, then exec.

Run by path, outside the package and without site-packages, so that it costs a few milliseconds. It exists so that
the parent need not run Python between fork and exec (`preexec_fn` can deadlock beside the parent's threads).

Usage: launch.py PARENT_PID MEMORY_BYTES PROGRAM ARGUMENT...
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def command(*program: str, memory_bytes: int = 0) -> list[str]:
    """The command that becomes `program` as a child of this process: it dies with it. No bound on memory if 0.

    The kernel means the thread that starts the child: it must outlive it.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(memory_bytes), *program]


def main(argv: list[str]) -> None:
    """Bind this process to the life of `PARENT_PID`, bound its memory, and become `PROGRAM`."""
    parent, memory, program = int(argv[0]), int(argv[1]), argv[2:]
    if memory:
        # RLIMIT_DATA and not RLIMIT_AS: it counts written private memory, where AS also counts the mapped model and
        # the address space that allocators merely reserve.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # The kernel ends this process when its parent dies, however it dies; it holds across exec. A pipe that the
        # program watches would need every program's help, and fails in one that hangs. Elsewhere the next host's
        # sweep does it for runtimes; a job ends its work alone, and its key makes that harmless.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above
            sys.exit("the process that started this one is gone")
    os.execv(program[0], program)  # noqa: S606 (no shell is the point)


if __name__ == "__main__":
    main(sys.argv[1:])
