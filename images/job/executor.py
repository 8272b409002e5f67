"""A Spark executor's process: PyPI's Spark carries no entrypoint for Kubernetes.

Becomes the JVM that the driver asks for by the variables that Spark 4.1's BasicExecutorFeatureStep sets.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyspark

from jobs.common.spark import java_home

_BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"


def command(environment: dict[str, str], java: Path, spark: Path) -> list[str]:
    """The JVM's command line."""
    options = {
        int(found[1]): value
        for name, value in environment.items()
        if (found := re.fullmatch(r"SPARK_JAVA_OPT_(\d+)", name))
    }
    memory = environment["SPARK_EXECUTOR_MEMORY"]
    return [
        str(java),
        *[options[number] for number in sorted(options)],
        f"-Xms{memory}", f"-Xmx{memory}", "-cp", f"{spark}/jars/*", _BACKEND,
        "--driver-url", environment["SPARK_DRIVER_URL"],
        "--executor-id", environment["SPARK_EXECUTOR_ID"],
        "--cores", environment["SPARK_EXECUTOR_CORES"],
        "--app-id", environment["SPARK_APPLICATION_ID"],
        "--hostname", environment["SPARK_EXECUTOR_POD_IP"],
        "--resourceProfileId", environment["SPARK_RESOURCE_PROFILE_ID"],
        "--podName", environment["SPARK_EXECUTOR_POD_NAME"],
    ]  # fmt: skip


def main() -> None:
    """Become the executor."""
    argv = command(dict(os.environ), Path(java_home()) / "bin" / "java", Path(pyspark.__file__).parent)
    os.execv(argv[0], argv)  # noqa: S606 (no shell is the point)


if __name__ == "__main__":
    main()
