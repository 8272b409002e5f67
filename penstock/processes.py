"""Detached processes that outlive the command that started them, and can be found and stopped again.

A process is known by its pid **and** its birth: a pid alone may by now belong to a stranger. Each one leads its
own session, so its whole tree can be found even after its leader has died.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from penstock.durable import write_atomic
from penstock.errors import PenstockError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Kept so that a child that ended is reaped by its Popen instead of staying a zombie of a long-lived parent.
_started: list[subprocess.Popen[bytes]] = []


class ProcessError(PenstockError):
    """A background process could not be started, or would not stop."""

    kind = "process"


class Process(BaseModel):
    """One process, for ever: `birth` tells it from any other that has or had its `pid` (see `birth_of`)."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int
    birth: str


def spawn(name: str, argv: Sequence[str], env: Mapping[str, str], log_path: Path) -> Process:
    """Start `argv` detached (own session, no input, output appended to `log_path`) without remembering it.

    `env` is the whole environment of the new process. Raises ProcessError when it cannot be started.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    for child in [child for child in _started if child.poll() is not None]:
        _started.remove(child)
    try:
        with open(log_path, "ab") as log:
            child = subprocess.Popen(
                list(argv),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise ProcessError(
            f"{name}: cannot start {argv[0]}: {error}",
            next_step=f"check that {argv[0]} exists and can be run",
        ) from error
    _started.append(child)
    # A child that ended at once is a zombie until it is polled, so its birth can still be read.
    return Process(name=name, pid=child.pid, birth=birth_of(child.pid))


def birth_of(pid: int) -> str:
    """When the process that has this pid now was created, in a form that never changes while it lives.

    On Linux the boot and the clock ticks since: the time of day would change whenever the clock is set, and a
    living process would look dead. Elsewhere seconds since the epoch. Raises psutil.NoSuchProcess.
    """
    try:
        # Field 22, starttime (proc_pid_stat(5)), counted after the name in parentheses, which may hold anything.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{_BOOT_ID.read_text().strip()}/{ticks}"
    except (FileNotFoundError, ProcessLookupError):
        return str(psutil.Process(pid).create_time())


def start(name: str, argv: Sequence[str], env: Mapping[str, str], log_path: Path, state_dir: Path) -> Process:
    """Start `argv` detached and remember it in `state_dir/<name>.json`; one of a name at a time.

    Where the process of that name already lives, it is returned and nothing is started: two callers at once get
    the same process. Raises ProcessError when it cannot be started.
    """
    record_path = _record_path(state_dir, name)
    state_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(state_dir / f".{name}.lock"):
        known = find(name, state_dir)
        if known is not None and alive(known):
            return known
        process = spawn(name, argv, env, log_path)
        write_atomic(record_path, process.model_dump_json().encode())
        return process


def find(name: str, state_dir: Path) -> Process | None:
    """The remembered process of that name, alive or not; None when there is no record. Raises ProcessError."""
    path = _record_path(state_dir, name)
    try:
        return Process.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ProcessError(
            f"{path} is not the record of a process: {error}",
            next_step=f"stop {name} by hand and delete the file",
        ) from error


def forget(name: str, state_dir: Path) -> None:
    """Delete the record of `name`, if there is one."""
    _record_path(state_dir, name).unlink(missing_ok=True)


def alive(record: Process) -> bool:
    """Whether that very process still runs: a zombie, or a stranger with its pid, does not count."""
    for child in _started:
        if child.pid == record.pid:
            child.poll()
    return _leader(record) is not None


def stop(record: Process, timeout: float) -> None:
    """End that very process and everything it started, and wait until they are gone.

    SIGTERM goes to the process itself, so that it can end its own children in order; what is left of its tree
    after `timeout` seconds, or once it has gone, is killed. A process that is gone already is no error. Raises
    ProcessError when something survives being killed.
    """
    tree = _tree(record)
    leader = _leader(record)
    if leader is not None:
        try:
            leader.terminate()
            leader.wait(timeout)
        except (psutil.NoSuchProcess, psutil.TimeoutExpired):
            pass
    # Look again: it may have started more while it was ending.
    tree |= _tree(record)
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + 5
    while left := {process for process in tree if _running(process)}:
        if time.monotonic() > deadline:
            pids = ", ".join(str(process.pid) for process in left)
            raise ProcessError(
                f"{record.name}: still running 5 s after SIGKILL: {pids}",
                next_step="see what they wait for in /proc/<pid>/stack, then end them by hand",
            )
        time.sleep(0.02)
    alive(record)  # reaps it when it was our own child


def _tree(record: Process) -> set[psutil.Process]:
    """The process, its descendants, and the members of its session that lost their parent."""
    leader = _leader(record)
    tree: set[psutil.Process] = set()
    if leader is not None:
        try:
            tree = {leader, *leader.children(recursive=True)}
        except psutil.NoSuchProcess:
            tree = {leader}
    elif not _may_have_left_children(record):
        return tree
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == record.pid:
                tree.add(process)
        except (ProcessLookupError, PermissionError):
            continue
    return {process for process in tree if _running(process)}


def _may_have_left_children(record: Process) -> bool:
    """Whether a session with the dead leader's number can still be its own.

    No longer after a reboot, and none is left where a stranger has its pid: a kernel gives a number away only
    once no process, group or session uses it.
    """
    boot, slash, _ = record.birth.partition("/")
    if slash and not (_BOOT_ID.exists() and _BOOT_ID.read_text().strip() == boot):
        return False
    try:
        return birth_of(record.pid) == record.birth  # a zombie
    except psutil.NoSuchProcess:
        return True


def _leader(record: Process) -> psutil.Process | None:
    try:
        process = psutil.Process(record.pid)
        return process if birth_of(record.pid) == record.birth and _running(process) else None
    except psutil.NoSuchProcess:
        return None


def _running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _record_path(state_dir: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ProcessError(
            f"process name {name!r}: expected lower-case letters, digits, - and _, beginning with a letter"
        )
    return state_dir / f"{name}.json"
