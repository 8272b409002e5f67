"""The pods that a stage's driver spreads its Spark work over, as its request names them."""

from __future__ import annotations

import uuid

from kubernetes.client import ApiClient
from kubernetes.client import models as k8s

from penstock.spec.pipeline import Resources
from penstock.work import ExecutorPods, Request, application_of, events_of
from penstock_airflow import shape

_CONTAINER = "executor"
#: Spark puts what it spills on volumes of such names.
_SPILL = "spark-local-dir-1"


def pods(
    given: Resources,
    request: Request,
    image: str,
    labels: dict[str, str],
    annotations: dict[str, str],
) -> ExecutorPods:
    """The executors of a stage whose resources are `given`: its own image, placement and secrets, and no rights."""
    assert given.executors is not None
    template = k8s.V1Pod(
        api_version="v1",
        kind="Pod",
        metadata=k8s.V1ObjectMeta(labels=labels, annotations=annotations),
        spec=k8s.V1PodSpec(
            service_account_name=shape.account(driver=False),
            automount_service_account_token=False,
            security_context=shape.POD_SECURITY,
            restart_policy="Never",
            volumes=[shape.scratch(), shape.scratch(_SPILL)],
            containers=[
                k8s.V1Container(
                    name=_CONTAINER,
                    command=["python3", "/opt/penstock/app/images/job/executor.py"],
                    env_from=shape.secrets(),
                    security_context=shape.CONTAINER_SECURITY,
                    volume_mounts=[
                        *shape.mounts(),
                        k8s.V1VolumeMount(name=_SPILL, mount_path="/spill"),
                    ],
                )
            ],
            **shape.placement(given),
        ),
    )
    return ExecutorPods(
        **given.executors.model_dump(),
        namespace=shape.namespace(),
        image=image,
        container=_CONTAINER,
        pod=ApiClient().sanitize_for_serialization(template),
        application=f"{application_of(request.stage, request.items[0].key)}{uuid.uuid4().hex[:6]}",
        events=events_of(request.pipeline),
    )
