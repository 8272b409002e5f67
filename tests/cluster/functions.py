"""Where functions run on a cluster: a namespace with deploy/functions, the account that deploys there, and the function image."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.utils import create_from_dict

from tests.cluster.stand import BASE_IMAGE, manifests, registry
from tests.servers import until


@dataclass(frozen=True)
class Place:
    """A namespace for functions, who deploys there, and the function image."""

    core: client.CoreV1Api
    namespace: str
    kubeconfig: str
    image: str

    def pods(self, revision: str) -> list[Any]:
        """Those of a revision."""
        selector = f"penstock/revision={revision[-12:]}"
        return list(self.core.list_namespaced_pod(self.namespace, label_selector=selector).items)

    def staying(self, revision: str) -> list[Any]:
        """Those that have not been told to end."""
        return [pod for pod in self.pods(revision) if pod.metadata.deletion_timestamp is None]

    def kinds(self) -> Counter[str]:
        """What there is of ours."""
        apps, policy = client.AppsV1Api(), client.PolicyV1Api()
        found = {
            "Deployment": apps.list_namespaced_deployment,
            "Service": self.core.list_namespaced_service,
            "NetworkPolicy": client.NetworkingV1Api().list_namespaced_network_policy,
            "PodDisruptionBudget": policy.list_namespaced_pod_disruption_budget,
            "HorizontalPodAutoscaler": client.AutoscalingV2Api().list_namespaced_horizontal_pod_autoscaler,
        }
        return Counter({kind: len(ask(self.namespace).items) for kind, ask in found.items()})


@contextmanager
def places(folder: Path) -> Iterator[Place]:
    """Such a namespace, gone at the end; the deployer's kubeconfig lies in `folder`."""
    config.load_kube_config()
    core = client.CoreV1Api()
    name = f"penstock-functions-{secrets.token_hex(3)}"
    account = (each for each in manifests(name) if each["metadata"]["name"] == "penstock-deployer")
    try:
        for each in [*manifests(name, "functions"), *account]:
            create_from_dict(core.api_client, each)
        until(
            lambda: bool(
                core.list_namespaced_service_account(name, field_selector="metadata.name=default").items
            )
        )
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(as_deployer(core, name)))
        yield Place(core, name, str(path), function_image())
    finally:
        core.delete_namespace(name)


def as_deployer(core: client.CoreV1Api, namespace: str) -> dict[str, Any]:
    """The kubeconfig of the account that deploys."""
    token = core.create_namespaced_service_account_token(
        "penstock-deployer", namespace, {"spec": {}}
    ).status.token
    found: dict[str, Any] = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    return {
        **found,
        "users": [{"name": "deployer", "user": {"token": token}}],
        "contexts": [
            {"name": each["name"], "context": {**each["context"], "user": "deployer"}}
            for each in found["contexts"]
        ],
    }


def function_image(room: str = "function") -> str:
    """The function image of this checkout, of a room of functions, where the cluster pulls from."""
    base = os.environ.get(BASE_IMAGE)
    command = [
        sys.executable,
        "-m",
        "penstock",
        "image",
        "room",
        room,
        "--registry",
        registry(),
        "--json",
    ]
    made = subprocess.run(
        [*command, *(["--base-image", base] if base else [])], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["image"])


def settings(place: Place) -> dict[str, str]:
    """What says that functions are there, of one small pod each."""
    return {
        "KUBECONFIG": place.kubeconfig,
        "PENSTOCK_KUBERNETES_NAMESPACE": place.namespace,
        "PENSTOCK_KUBERNETES_IMAGE": place.image,
        "PENSTOCK_KUBERNETES_REPLICAS": "1",
        "PENSTOCK_KUBERNETES_CPU": "50m",
        "PENSTOCK_KUBERNETES_MEMORY": "256Mi",
        "PENSTOCK_REGISTRY": f"{registry()}/fn",
        "PENSTOCK_INSECURE_REGISTRIES": registry().partition("/")[0],
    }
