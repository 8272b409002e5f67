"""What the environment says of functions on Kubernetes: docs/targets.md."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock.targets import TargetError
from penstock.targets.kubernetes.manifests import METRICS, Shape

NAMESPACE: Final = "PENSTOCK_KUBERNETES_NAMESPACE"
IMAGE: Final = "PENSTOCK_KUBERNETES_IMAGE"
#: Where images go: `penstock image` reads the same.
REGISTRY: Final = "PENSTOCK_REGISTRY"
URL: Final = "PENSTOCK_KUBERNETES_URL"
REPLICAS: Final = "PENSTOCK_KUBERNETES_REPLICAS"
SCALE_ON: Final = "PENSTOCK_KUBERNETES_SCALE_ON"
CPU: Final = "PENSTOCK_KUBERNETES_CPU"
MEMORY: Final = "PENSTOCK_KUBERNETES_MEMORY"
_PUBLIC_KEYS: Final = "PENSTOCK_PUBLIC_KEYS"
#: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY: Final = re.compile(r"[0-9]+(\.[0-9]+)?(m|[KMGT]i?|k)?")
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Settings:
    """Where functions are, on which image, in which registry theirs are, how they are called, and their shape.

    `url` has `{name}` in it; None where callers find a function by the cluster's own DNS.
    """

    namespace: str
    image: str
    registry: str
    url: str | None
    shape: Shape


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """All of it. Raises TargetError with every fault."""
    missing = [name for name in (NAMESPACE, IMAGE, REGISTRY) if not environment.get(name)]
    if missing:
        raise TargetError(
            f"Kubernetes is the target, and {', '.join(missing)} is not set",
            next_step="set it where stages run and where `penstock` does: docs/targets.md",
        )
    faults: list[str] = []

    def given(name: str, default: str, pattern: re.Pattern[str], expected: str) -> str:
        value = environment.get(name) or default
        if not pattern.fullmatch(value):
            faults.append(f"{name} is {value!r}, expected {expected}")
        return value

    namespace = given(NAMESPACE, "", _NAME, "the name of a namespace")
    usual = Shape()
    cpu = given(CPU, usual.cpu, _QUANTITY, "a number of cores, such as 250m or 2")
    memory = given(MEMORY, usual.memory, _QUANTITY, "bytes, such as 512Mi")
    replicas = given(
        REPLICAS,
        str(usual.least),
        re.compile(r"[1-9][0-9]{0,3}(-[1-9][0-9]{0,3})?"),
        "a number of pods, or two: 2-10",
    )
    scale_on = environment.get(SCALE_ON, "")
    url = environment.get(URL)
    if url and not (url.startswith(("http://", "https://")) and "{name}" in url):
        faults.append(f"{URL} is {url!r}, expected an address with {{name}} in it")
    least, _, most = replicas.partition("-")
    metric, _, value = scale_on.partition("=")
    if scale_on and (metric not in METRICS or not _QUANTITY.fullmatch(value)):
        faults.append(
            f"{SCALE_ON} is {scale_on!r}, expected requests=100 (a second) or latency=50m (seconds)"
        )
    if bool(most) != bool(scale_on):
        faults.append(f"{REPLICAS}=LEAST-MOST and {SCALE_ON} go together")
    elif most and least.isdecimal() and most.isdecimal() and int(least) > int(most):
        faults.append(f"{REPLICAS} is {replicas!r}, expected the smaller number first")
    if faults:
        raise TargetError("; ".join(faults), next_step="correct it: docs/targets.md")
    shape = Shape(
        least=int(least),
        most=int(most or least),
        metric=metric or None,
        value=value,
        cpu=cpu,
        memory=memory,
        public_keys=environment.get(_PUBLIC_KEYS, ""),
    )
    return Settings(namespace, environment[IMAGE], environment[REGISTRY].rstrip("/"), url or None, shape)
