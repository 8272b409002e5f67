"""A job as a process: what is made of every way in which it can end. Jobs here are small scripts of the test's own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from penstock.errors import StoreError
from penstock.runner import ProcessRunner
from penstock.settings import Settings
from penstock.work import Outcome, Request
from tests.full_disk import full_disk

REQUEST = Request(stage="train", pipeline="p", run="r", items=[])
DONE = Outcome(state="done").model_dump_json()
_JOB = """
import os, pathlib, signal, subprocess, sys
request, outcome = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[4])
"""

MakeRunner = Callable[[str], ProcessRunner]


@pytest.fixture
def said() -> list[str]:
    """The lines that the job printed."""
    return []


@pytest.fixture
def runner_of(tmp_path: Path, said: list[str]) -> MakeRunner:
    """A runner in a project whose `python -m jobs.train` is a script."""

    def make(script: str) -> ProcessRunner:
        jobs = tmp_path / "jobs"
        jobs.mkdir()
        (jobs / "__init__.py").touch()
        (jobs / "train.py").write_text(_JOB + script)
        settings = Settings(tmp_path, tmp_path / "var", f"file://{tmp_path}/store", "sqlite:///x")
        return ProcessRunner(settings, said.append, {"PENSTOCK_CONN_SHOP": "sqlite:///shop"})

    return make


def test_its_answer_is_handed_on(
    runner_of: MakeRunner, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job reads its request and the settings, prints lines, answers; Airflow's variables stay out; no file is left."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    run = runner_of(f"""
print(request.read_text())
print(os.environ["PENSTOCK_STORE"], os.environ["PENSTOCK_CONN_SHOP"], "AIRFLOW__CORE__FERNET_KEY" in os.environ)
print("to stderr", file=sys.stderr)
outcome.write_text({DONE!r})
""")
    assert run(REQUEST) == Outcome(state="done")
    assert said == [REQUEST.model_dump_json(), f"file://{tmp_path}/store sqlite:///shop False", "to stderr"]
    assert list((tmp_path / "var" / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "written", [None, "", DONE[: len(DONE) // 2], '{"state": "splendid"}', "[]"],
    ids=["missing", "empty", "half", "unknown", "other JSON"],
)  # fmt: skip
def test_without_a_readable_answer_it_died(runner_of: MakeRunner, written: str | None) -> None:
    """An outcome that is missing, empty, half or none of ours is a crash with its exit status, never an exception."""
    run = runner_of((f"outcome.write_text({written!r})" if written is not None else "") + "\nsys.exit(1)")
    outcome = run(REQUEST)
    assert (outcome.state, outcome.kind) == ("failed", "crashed")
    assert outcome.message is not None
    assert "stage train ended with exit code 1 without an answer" in outcome.message


def test_without_an_answer_the_exit_status_says_the_kind(runner_of: MakeRunner) -> None:
    """A disk that took not even the answer: the failure is the store's still, and may be tried again."""
    outcome = runner_of(f"sys.exit({StoreError.exit_code})")(REQUEST)
    assert (outcome.kind, outcome.exit_code) == (StoreError.kind, StoreError.exit_code)


@pytest.mark.parametrize(("sent", "kind"), [(signal.SIGKILL, "killed"), (signal.SIGSEGV, "crashed")])
def test_a_signal_is_named(runner_of: MakeRunner, sent: signal.Signals, kind: str) -> None:
    """A job that was killed is told apart from one that crashed, also where it left half an answer."""
    run = runner_of(f"outcome.write_text({DONE[:9]!r})\nos.kill(os.getpid(), {int(sent)})")
    outcome = run(REQUEST)
    assert outcome.kind == kind
    assert outcome.message is not None
    assert sent.name in outcome.message


def test_a_request_that_does_not_fit_is_a_failure_of_the_store(
    runner_of: MakeRunner, said: list[str], tmp_path: Path
) -> None:
    """On a full disk no job starts: a StoreError with what to do, and nothing of the request stays."""
    run = runner_of("print('started')")
    with full_disk(20), pytest.raises(StoreError, match="no space") as refused:
        run(REQUEST)
    assert "free space" in str(refused.value.next_step)
    assert said == []
    assert list((tmp_path / "var" / "tmp").iterdir()) == []


def test_a_scratch_folder_that_cannot_be_is_too(runner_of: MakeRunner, tmp_path: Path) -> None:
    """Where var/ is a file, or not ours to write, that is the same failure."""
    (tmp_path / "var").touch()
    with pytest.raises(StoreError, match=str(tmp_path / "var")):
        runner_of("")(REQUEST)


def test_stop_ends_what_the_job_started_too(runner_of: MakeRunner, said: list[str]) -> None:
    """Stopped from another thread, a job and its own child (a JVM, say) are gone when the call returns."""
    run = runner_of("""
child = subprocess.Popen(["sleep", "1000"])
print(os.getpid(), child.pid, flush=True)
child.wait()
""")
    stopping = threading.Thread(target=lambda: (_until(lambda: bool(said)), run.stop()))
    stopping.start()
    outcome = run(REQUEST)
    stopping.join()
    assert outcome.message is not None
    assert "SIGTERM" in outcome.message
    for pid in said[0].split():
        _until(lambda pid=int(pid): _is_gone(pid))


def test_a_killed_runner_takes_its_job_along(runner_of: MakeRunner, tmp_path: Path) -> None:
    """SIGKILL of the process that runs a stage ends its job too, so that a run begun anew works alone."""
    runner_of("""
import time
print(os.getpid(), flush=True)
time.sleep(60)
""")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from penstock.runner import ProcessRunner\n"
        "from penstock.settings import Settings\n"
        "from penstock.work import Request\n"
        f"root = Path({str(tmp_path)!r})\n"
        "here = Settings(root, root / 'var', f'file://{root}/store', 'sqlite:///x')\n"
        f"ProcessRunner(here, lambda line: print(line, flush=True))(Request.model_validate_json({REQUEST.model_dump_json()!r}))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        job = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        job.wait(timeout=30)


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        threading.Event().wait(0.02)
