"""Spark work spread over pods: this process is the driver, in its own pod, and asks the cluster for executors.

Spark's own Kubernetes scheduler, in client mode (https://spark.apache.org/docs/4.1.0/running-on-kubernetes.html).
Executors belong to the driver's pod: whoever deletes that deletes them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.common.memory import heap_of, mebibytes
from penstock.errors import PenstockError
from penstock.store import Store
from penstock.work import POD_IP, POD_NAME, ExecutorPods

#: Fixed, so that a network policy can name them.
DRIVER_PORT, BLOCK_PORT = 7078, 7079
_EVENTS_KEPT = ".kept"
_NOT_ALLOWED = re.compile("forbidden|unauthorized", re.IGNORECASE)


def settings(pods: ExecutorPods, store: Store, scratch: Path) -> dict[str, str]:
    """Spark's settings for a driver in this pod and executors made from `pods`; writes their template to `scratch`."""
    template = scratch / "executor.json"
    template.write_text(json.dumps(pods.pod))
    # A folder of object storage is there when something is in it.
    store.create_json(f"{pods.events}/{_EVENTS_KEPT}", {})
    address, name = os.environ[POD_IP], os.environ[POD_NAME]
    heap = heap_of(pods.memory)
    return {
        "spark.master": "k8s://https://kubernetes.default.svc",
        "spark.app.id": pods.application,
        "spark.driver.host": address,
        "spark.driver.bindAddress": address,
        "spark.driver.port": str(DRIVER_PORT),
        "spark.blockManager.port": str(BLOCK_PORT),
        "spark.kubernetes.driver.pod.name": name,
        "spark.kubernetes.driver.service.deleteOnTermination": "false",
        "spark.kubernetes.driver.ownPersistentVolumeClaim": "false",
        "spark.kubernetes.namespace": pods.namespace,
        "spark.kubernetes.container.image": pods.image,
        "spark.kubernetes.executor.podNamePrefix": name[:47].rstrip("-."),
        "spark.kubernetes.executor.podTemplateFile": str(template),
        "spark.kubernetes.executor.podTemplateContainerName": pods.container,
        "spark.kubernetes.executor.disableConfigMap": "true",
        "spark.kubernetes.executor.request.cores": str(pods.cpu),
        "spark.executor.cores": str(max(1, int(pods.cpu))),
        "spark.executor.memory": f"{heap}m",
        "spark.executor.memoryOverhead": f"{mebibytes(pods.memory) - heap}m",
        "spark.executor.extraJavaOptions": "-XX:-UsePerfData",
        # A lost executor is otherwise missed for most of a minute.
        "spark.kubernetes.executor.apiPollingInterval": "5s",
        "spark.kubernetes.executor.missingPodDetectDelta": "5s",
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.minExecutors": "1",
        "spark.dynamicAllocation.initialExecutors": str(pods.count),
        "spark.dynamicAllocation.maxExecutors": str(pods.count),
        "spark.decommission.enabled": "true",
        "spark.storage.decommission.enabled": "true",
        "spark.kubernetes.decommission.script": "/opt/penstock/app/images/job/decommission",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": hadoop_uri(store, pods.events),
        **_s3(),
    }


@contextmanager
def told() -> Iterator[None]:
    """Turn what the cluster says of a session that it does not let make pods into an error with what to do."""
    try:
        yield
    except Exception as error:
        refused = next((line for line in str(error).splitlines() if _NOT_ALLOWED.search(line)), None)
        if refused is None:
            raise
        raise PenstockError(
            f"the service account of this pod may not make pods, as executors are: {refused.strip()[:500]}",
            next_step="give the stage one that may: penstock-driver of deploy/base, or the declaration's service_account",
        ) from error


def hadoop_uri(store: Store, relative: str) -> str:
    """A path of the store as executors read it."""
    return store.uri_of(relative).replace("s3://", "s3a://", 1)


def _s3() -> dict[str, str]:
    """For S3A, what other clients read from AWS's variables; keys it finds there itself, here and in executors."""
    found = {"spark.hadoop.fs.s3a.endpoint.region": os.environ.get("AWS_DEFAULT_REGION")}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        found |= {
            "spark.hadoop.fs.s3a.endpoint": endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": str(endpoint.startswith("https://")).lower(),
        }
    return {name: value for name, value in found.items() if value}
