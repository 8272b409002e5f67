"""The executor's entrypoint, by the variables that Spark sets (tests/cluster runs it for real)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_command_is_what_spark_asks_for() -> None:
    """Options in the order of their numbers, the heap, the jars, and who the executor is."""
    spec = importlib.util.spec_from_file_location("executor", ROOT / "images" / "job" / "executor.py")
    assert spec is not None
    assert spec.loader is not None
    executor = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(executor)
    given = {f"SPARK_JAVA_OPT_{number}": f"-Dn={number}" for number in (10, 2, 0)}
    given |= {
        "SPARK_EXECUTOR_MEMORY": "600m",
        "SPARK_DRIVER_URL": "spark://driver",
        "SPARK_EXECUTOR_ID": "1",
        "SPARK_EXECUTOR_CORES": "2",
        "SPARK_APPLICATION_ID": "train-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.1",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "pod",
    }
    command = executor.command(given, Path("/java"), Path("/spark"))
    assert command[:6] == ["/java", "-Dn=0", "-Dn=2", "-Dn=10", "-Xms600m", "-Xmx600m"]
    assert command[command.index("-cp") + 1] == "/spark/jars/*"
    assert command[-2:] == ["--podName", "pod"]
