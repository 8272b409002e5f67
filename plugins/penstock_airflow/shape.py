"""What a pod of ours looks like, a stage's own or an executor of its: admitted where Pod Security is `restricted`.

Airflow's section `[penstock]` gives the names of what the cluster has for us.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import conf
from kubernetes.client import models as k8s

from penstock.spec.pipeline import Resources
from penstock.work import POD_IP, POD_NAME

_USER = 10001  # images/Dockerfile
_VOLUME = "scratch"

POD_SECURITY = k8s.V1PodSecurityContext(
    run_as_non_root=True,
    run_as_user=_USER,
    fs_group=_USER,
    seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
)
CONTAINER_SECURITY = k8s.V1SecurityContext(
    allow_privilege_escalation=False,
    read_only_root_filesystem=True,
    capabilities=k8s.V1Capabilities(drop=["ALL"]),
)


def namespace() -> str:
    """Where all pods run."""
    return str(conf.get("penstock", "namespace", fallback="penstock"))


def account(driver: bool) -> str:
    """The service account of a stage without rights, or of one that makes executors."""
    if driver:
        return str(conf.get("penstock", "driver_service_account", fallback="penstock-driver"))
    return str(conf.get("penstock", "service_account", fallback="penstock-job"))


def secrets() -> list[k8s.V1EnvFromSource]:
    """Where the store and MLflow are, and the keys to them: by reference, never in the pod's own text."""
    name = conf.get("penstock", "secret", fallback="penstock-job")
    return [k8s.V1EnvFromSource(secret_ref=k8s.V1SecretEnvSource(name=name))]


def own_address() -> list[k8s.V1EnvVar]:
    """What a driver must know of its own pod, by the downward API."""
    fields = {POD_NAME: "metadata.name", POD_IP: "status.podIP"}
    return [
        k8s.V1EnvVar(
            name=name,
            value_from=k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path=path)),
        )
        for name, path in fields.items()
    ]


def scratch(name: str = _VOLUME) -> k8s.V1Volume:
    """A bounded volume that goes with the pod."""
    limit = conf.get("penstock", "scratch", fallback="20Gi")
    return k8s.V1Volume(name=name, empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=limit))


def mounts() -> list[k8s.V1VolumeMount]:
    """Where the image may be written to: a folder of the volume for each."""
    return [
        k8s.V1VolumeMount(name=_VOLUME, mount_path=f"/{folder}", sub_path=folder)
        for folder in ("scratch", "tmp")
    ]


def resources(given: Resources) -> k8s.V1ResourceRequirements:
    """CPU is asked for and not bounded; memory and GPUs are both."""
    bounded = {"memory": given.memory, "nvidia.com/gpu": given.gpu}
    limits = {name: str(value) for name, value in bounded.items() if value}
    cpu = {"cpu": str(given.cpu)} if given.cpu else {}
    return k8s.V1ResourceRequirements(requests={**limits, **cpu}, limits=limits)


def placement(given: Resources) -> dict[str, Any]:
    """Where a stage's pods may run, in the words of a pod's spec."""
    tolerations = [k8s.V1Toleration(**each.model_dump()) for each in given.tolerations]
    found = {
        "node_selector": given.node_selector or None,
        "tolerations": tolerations or None,
        "priority_class_name": given.priority_class,
    }
    return {name: value for name, value in found.items() if value is not None}
