"""Detached processes: started once, found again, stopped with everything they started, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from penstock import processes
from penstock.processes import Process, ProcessError

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
# Ignores SIGTERM, and so does its child; each writes its pid in one piece: unbuffered, print() gives the end of line apart.
STUBBORN = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "os.fork()\n"
    "os.write(1, b'%d\\n' % os.getpid())\n"
    "time.sleep(600)\n"
)


def until(true: Callable[[], object], what: str) -> None:
    """Wait for something to become true; the bound only keeps a broken test from hanging."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a process under a name, output to `out.log`; all are ended after the test."""
    started: list[Process] = []

    def start(argv: list[str], name: str = "worker") -> Process:
        process = processes.start(name, argv, os.environ, tmp_path / "out.log", tmp_path / "state")
        started.append(process)
        return process

    yield start
    for process in started:
        processes.stop(process, 0)


def pids_printed(tmp_path: Path, count: int) -> list[int]:
    """What STUBBORN and its child printed."""
    log = tmp_path / "out.log"
    until(lambda: len(log.read_text().split()) == count, "the pids are printed")
    return [int(word) for word in log.read_text().split()]


def gone(pid: int) -> bool:
    """Whether it runs no more; whose child it became may still have to take note."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_it_is_started_once_and_found_again(begin: Callable[..., Process], tmp_path: Path) -> None:
    """A second start of a living name gives the same process, as does its record; its output is in the log."""
    process = begin(SLEEP)
    assert processes.alive(process)
    assert begin(SLEEP) == process
    assert processes.find("worker", tmp_path / "state") == process
    assert os.getsid(process.pid) == process.pid
    until(lambda: (tmp_path / "out.log").read_text() == "up\n", "its output is in the log")


def test_stop_ends_it_and_start_begins_anew(begin: Callable[..., Process], tmp_path: Path) -> None:
    """A stopped process is dead, stopping it again is no error, and its name is free."""
    process = begin(SLEEP)
    processes.stop(process, 10)
    processes.stop(process, 10)
    assert not processes.alive(process)
    assert begin(SLEEP).pid != process.pid
    processes.forget("worker", tmp_path / "state")
    assert processes.find("worker", tmp_path / "state") is None


def test_it_outlives_who_started_it(tmp_path: Path) -> None:
    """The command that starts it may end: the process goes on, and another process can stop it by its record."""
    code = (
        "import os, pathlib, sys\n"
        "from penstock import processes\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "processes.start('worker', sys.argv[2:], os.environ, folder / 'out.log', folder)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *SLEEP], check=True, timeout=60)
    process = processes.find("worker", tmp_path)
    assert process is not None
    assert processes.alive(process)
    processes.stop(process, 10)
    assert not processes.alive(process)
    assert gone(process.pid)


def test_two_callers_start_one(tmp_path: Path) -> None:
    """Racing processes agree on one."""
    code = (
        "import os, pathlib, sys\n"
        "from penstock import processes\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "print(processes.start('worker', sys.argv[2:], os.environ, folder / 'out.log', folder).pid)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), *SLEEP]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    pids = {racer.communicate(timeout=60)[0] for racer in racers}
    process = processes.find("worker", tmp_path)
    assert process is not None
    processes.stop(process, 10)
    assert pids == {f"{process.pid}\n".encode()}


def test_the_whole_tree_goes(begin: Callable[..., Process], tmp_path: Path) -> None:
    """A process and a child that both ignore SIGTERM are killed after the timeout."""
    process = begin([sys.executable, "-c", STUBBORN])
    pids = pids_printed(tmp_path, 2)
    processes.stop(process, 0.2)
    assert all(gone(pid) for pid in pids)


def test_children_of_a_dead_leader_go_too(begin: Callable[..., Process], tmp_path: Path) -> None:
    """When the process itself was killed, what it left running is still found and ended."""
    process = begin([sys.executable, "-c", STUBBORN])
    (child,) = set(pids_printed(tmp_path, 2)) - {process.pid}
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not processes.alive(process), "the leader is dead")
    assert not gone(child)
    processes.stop(process, 10)
    assert gone(child)


def test_a_graceful_end_is_waited_for(begin: Callable[..., Process], tmp_path: Path) -> None:
    """A process that ends itself on SIGTERM, children and all, is given the time to do it."""
    code = (
        "import signal, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "def leave(*_):\n"
        "    time.sleep(0.3); child.terminate(); child.wait(); print('left in order', flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "print('up', flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    process = begin([sys.executable, "-c", code])
    log = tmp_path / "out.log"
    until(lambda: "up" in log.read_text(), "it runs")
    processes.stop(process, 20)
    assert "left in order" in log.read_text()


@pytest.mark.parametrize("wrong", ["ticks", "boot"])
def test_a_stranger_with_its_pid_is_left_alone(begin: Callable[..., Process], wrong: str) -> None:
    """A record whose pid now belongs to another process, of this boot or a later one, is dead; stopping it touches nobody."""
    stranger = begin(SLEEP)
    boot, _, ticks = stranger.birth.partition("/")
    birth = f"{boot}/{int(ticks) - 100}" if wrong == "ticks" else f"another-boot/{ticks}"
    stale = Process(name="old", pid=stranger.pid, birth=birth)
    assert not processes.alive(stale)
    processes.stop(stale, 0)
    assert processes.alive(stranger)


def test_children_of_an_earlier_boot(begin: Callable[..., Process], tmp_path: Path) -> None:
    """After a reboot a session of the recorded number is a stranger's, even when its leader has died."""
    process = begin([sys.executable, "-c", STUBBORN])
    (child,) = set(pids_printed(tmp_path, 2)) - {process.pid}
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not processes.alive(process), "the leader is dead")
    processes.stop(Process(name="old", pid=process.pid, birth="another-boot/1"), 0)
    assert not gone(child)


def test_one_that_ends_at_once(begin: Callable[..., Process]) -> None:
    """A process that fails immediately is recorded, and seen to be dead although nobody waited for it."""
    process = begin([sys.executable, "-c", "raise SystemExit(1)"])
    until(lambda: not processes.alive(process), "it is dead")


def test_what_cannot_be_started(begin: Callable[..., Process], tmp_path: Path) -> None:
    """A program that is not there, a name that is a path and a damaged record are each told."""
    with pytest.raises(ProcessError, match="cannot start /no/such/program"):
        begin(["/no/such/program"])
    assert processes.find("worker", tmp_path / "state") is None
    with pytest.raises(ProcessError, match=r"process name '\.\./x'"):
        begin(SLEEP, name="../x")
    (tmp_path / "state" / "worker.json").write_text("{")
    with pytest.raises(ProcessError, match=r"worker\.json is not the record of a process"):
        begin(SLEEP)
