"""What a runtime is bound by before it begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from penstock import launch

MIB = 1024 * 1024


def run(parent: int, memory: int, code: str) -> subprocess.CompletedProcess[str]:
    """Launch `python -c code` under the bounds."""
    command = launch.command(sys.executable, "-c", code, memory_bytes=memory)
    command[command.index(str(os.getpid()))] = str(parent)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_memory_is_bounded() -> None:
    """A program that takes more than its share gets MemoryError; one that stays within it runs."""
    assert run(os.getpid(), 256 * MIB, f"bytearray({64 * MIB})").returncode == 0
    greedy = run(os.getpid(), 256 * MIB, f"bytearray({300 * MIB})")
    assert greedy.returncode == 1
    assert "MemoryError" in greedy.stderr


def test_mapped_files_do_not_count() -> None:
    """A model that is mapped from disk may be larger than the bound on memory."""
    code = (
        "import mmap, tempfile\n"
        "file = tempfile.TemporaryFile()\n"
        f"file.truncate({400 * MIB})\n"
        f"mmap.mmap(file.fileno(), {400 * MIB}, prot=mmap.PROT_READ)\n"
    )
    assert run(os.getpid(), 256 * MIB, code).returncode == 0


def test_nothing_runs_for_a_parent_that_is_gone() -> None:
    """When the parent died before the launcher could bind itself to it, the program is not begun."""
    late = run(1, 256 * MIB, "print('begun')")
    assert late.returncode == 1
    assert "the process that started this one is gone" in late.stderr
    assert late.stdout == ""


def test_it_dies_with_its_parent() -> None:
    """A program that ignores every signal it can is ended by the kernel when its parent is killed."""
    child = (
        "import signal, time\n"
        "[signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = (
        "import subprocess, sys, time\n"
        "from penstock import launch\n"
        "command = launch.command(sys.executable, '-c', sys.argv[1])\n"
        "subprocess.Popen(command, start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent, child], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGKILL)
        # The end of the pipe: nobody holds its other side any more.
        assert process.stdout.read() == b""
