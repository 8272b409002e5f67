"""What a driver tells Spark of its executors (tests/cluster runs it for real)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.common import executors
from penstock.errors import PenstockError
from penstock.store import Store
from penstock.work import ExecutorPods

PODS = ExecutorPods(
    count=3,
    cpu=0.5,
    memory="2Gi",
    above_rows=0,
    namespace="team",
    image="registry.example/job@sha256:0",
    container="executor",
    pod={"kind": "Pod"},
    application="train-1",
    events="shop/_spark",
)


def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, str]:
    for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "PENSTOCK_POD_NAME": "shop-train-x",
        "PENSTOCK_POD_IP": "10.0.0.7",
        **environment,
    }.items():
        monkeypatch.setenv(name, value)
    return executors.settings(PODS, Store(f"file://{tmp_path}/store"), tmp_path)


def test_executors_belong_to_the_drivers_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They call it back at its own address, are named after it, and are made from the request's template."""
    found = settings(tmp_path, monkeypatch)
    assert found["spark.driver.host"] == found["spark.driver.bindAddress"] == "10.0.0.7"
    assert found["spark.kubernetes.driver.pod.name"] == "shop-train-x"
    template = Path(found["spark.kubernetes.executor.podTemplateFile"])
    assert json.loads(template.read_text()) == {"kind": "Pod"}


def test_the_whole_of_a_pods_memory_is_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heap and overhead make what the spec gives, so that the cluster reserves that and no more."""
    found = settings(tmp_path, monkeypatch)
    parts = ("spark.executor.memory", "spark.executor.memoryOverhead")
    assert sum(int(found[name].removesuffix("m")) for name in parts) == 2048


def test_no_key_is_in_sparks_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark writes its settings into its event log: keys are the environment's alone."""
    found = settings(
        tmp_path, monkeypatch,
        AWS_ENDPOINT_URL="http://s3.example", AWS_ACCESS_KEY_ID="who", AWS_SECRET_ACCESS_KEY="hush",
    )  # fmt: skip
    assert found["spark.hadoop.fs.s3a.endpoint"] == "http://s3.example"
    assert not {"who", "hush"} & set(found.values())


def test_the_event_logs_folder_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark refuses to start where it is not."""
    settings(tmp_path, monkeypatch)
    assert (tmp_path / "store" / "shop" / "_spark").is_dir()


def test_who_may_not_make_pods_is_told_so() -> None:
    """By the cluster's own line of a long stack, with the account that may."""
    said = "Py4JJavaError: External scheduler cannot be instantiated\n\tat org.apache.A\nCaused by: pods is forbidden: User x"
    refused = pytest.raises(PenstockError, match=r"may not make pods.*: Caused by: pods is forbidden")
    with refused as raised, executors.told():
        raise RuntimeError(said)
    assert "penstock-driver" in str(raised.value.next_step)


def test_what_else_goes_wrong_passes() -> None:
    """It is no matter of rights."""
    with pytest.raises(RuntimeError, match="no memory"), executors.told():
        raise RuntimeError("no memory")
