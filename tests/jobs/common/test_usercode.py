"""How errors of the user's code are told apart from others (the rest runs in Spark: tests/jobs/features)."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from jobs.common.usercode import UserCode, load
from penstock.errors import DataError, StoreError, UserCodeError

CODE = UserCode("shop", Path("/project/dags/shop"), ModuleType("model"))


@pytest.mark.parametrize("said", ["No space left on device", "Disk quota exceeded", "File too large"])
def test_a_full_disk_is_the_stores_error(said: str) -> None:
    """Spark wraps the system's error in its own: it is told as the store's, with what to do."""
    text = f"Job aborted due to stage failure: java.io.IOException: {said}\n\tat java.base/x.Y.z(Z.java)"
    with pytest.raises(StoreError, match="the disk is full") as raised, CODE.blamed("features()"):
        raise RuntimeError(text)
    assert "free space" in str(raised.value.next_step)


def test_a_dead_python_worker_is_told_as_a_lack_of_memory() -> None:
    """Spark never says that a worker ran out of memory: the likely reason is given."""
    with pytest.raises(UserCodeError) as raised, CODE.blamed("features()"):
        raise RuntimeError("org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)")
    assert "too little memory" in str(raised.value.next_step)


def test_an_executor_without_memory_is_told_so() -> None:
    """Spark gives the pod's end at the bottom of a long text: what to change is said."""
    text = "Lost task 0.3 (ExecutorLostFailure: the executor with id 2 exited with exit code 137(SIGKILL, possible container OOM)."
    with pytest.raises(UserCodeError) as raised, CODE.blamed("features()"):
        raise RuntimeError(text)
    assert "executors more" in str(raised.value.next_step)


def test_the_last_cause_is_told_without_the_stack() -> None:
    """Of a long chain of the JVM's, the head and the last cause are kept, and no stack."""
    text = (
        "An error occurred while calling o1.fit.\n: org.apache.spark.SparkException: Job aborted.\n"
        "\tat org.apache.spark.A.b(A.scala:1)\nCaused by: java.lang.RuntimeException: first\n"
        "\tat java.base/x.Y.z(Z.java)\nCaused by: org.apache.spark.SparkException: Unseen label: violet.\n\t... 1 more\n"
    )
    with pytest.raises(UserCodeError) as raised, CODE.blamed("estimator()"):
        raise RuntimeError(text)
    assert raised.value.message.endswith(
        "Job aborted.; caused by org.apache.spark.SparkException: Unseen label: violet."
    )
    assert "\tat " not in raised.value.message


def test_penstocks_own_errors_pass() -> None:
    """An error that already says what is wrong is not wrapped again."""
    with pytest.raises(DataError, match="as it is"), CODE.blamed("features()"):
        raise DataError("as it is")


def test_a_library_that_is_not_here_is_named(tmp_path: Path) -> None:
    """Before anything of the folder is imported, with what to type."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "model.py").write_text("raise AssertionError('not imported')")
    (folder / "requirements.txt").write_text("nowhere==1.5 --hash=sha256:00\npytest==0.1 --hash=sha256:00\n")
    with pytest.raises(
        UserCodeError, match=r"asks for nowhere 1\.5 \(here: none\), pytest 0\.1 \(here: \d"
    ) as raised:
        load("shop", tmp_path, object())
    assert "uv pip install" in str(raised.value.next_step)
