"""The executor: what a task's process begins with."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: A worker's process says what it holds, in the place of waiting for tasks.
_CODE = """if True:
    import os, sys
    from airflow.executors import local_executor
    from penstock_airflow.executor import WarmLocalExecutor

    def worker(**_):
        os.write(1, f"{sorted(name for name in sys.modules if name in {WANTED})}\\n".encode())

    local_executor._run_worker = worker
    executor = WarmLocalExecutor(parallelism=1)
    assert "penstock_airflow.dag" not in sys.modules
    executor.start()
    executor.workers.popitem()[1].join()
"""
#: What tasks need, some only as pods, or where the store is on S3.
_WANTED = ["penstock_airflow.dag", "penstock_airflow.pods", "s3fs"]


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ({}, ["penstock_airflow.dag"]),
        ({"AIRFLOW__PENSTOCK__RUNNER": "kubernetes", "PENSTOCK_STORE": "s3://bucket/store"}, _WANTED),
        (
            {"AIRFLOW__PENSTOCK__RUNNER": "boats", "PENSTOCK_STORE": "boats://bucket/store"},
            ["penstock_airflow.dag"],
        ),
    ],
)
def test_workers_hold_what_tasks_import(
    said: dict[str, str], held: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task is a fork of a worker that has imported the DAG's side, and the pods' and S3's where these are in use.

    A setting that is wrong stops no scheduler: the DAG or its tasks say so.
    """
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    code = _CODE.replace("{WANTED}", repr(_WANTED))
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.splitlines()[-1] == str(held)
