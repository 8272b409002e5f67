"""What the environment says of functions on Kubernetes: docs/targets.md."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock.runtimes import Kind
from penstock.targets import TargetError
from penstock.targets.kubernetes.manifests import METRICS, Shape, object_name

NAMESPACE: Final = "PENSTOCK_KUBERNETES_NAMESPACE"
IMAGE: Final = "PENSTOCK_KUBERNETES_IMAGE"
MLEAP_IMAGE: Final = "PENSTOCK_KUBERNETES_MLEAP_IMAGE"
#: Which is the function image, by the kind of the function.
_IMAGES: Final[Mapping[Kind, str]] = {"onnx": IMAGE, "mleap": MLEAP_IMAGE}
#: Where images go: `penstock image` reads the same.
REGISTRY: Final = "PENSTOCK_REGISTRY"
URL: Final = "PENSTOCK_KUBERNETES_URL"
GATEWAY: Final = "PENSTOCK_KUBERNETES_GATEWAY"
PARENT_GATEWAY: Final = "PENSTOCK_KUBERNETES_PARENT_GATEWAY"
REPLICAS: Final = "PENSTOCK_KUBERNETES_REPLICAS"
SCALE_ON: Final = "PENSTOCK_KUBERNETES_SCALE_ON"
CPU: Final = "PENSTOCK_KUBERNETES_CPU"
MEMORY: Final = "PENSTOCK_KUBERNETES_MEMORY"
_PUBLIC_KEYS: Final = "PENSTOCK_PUBLIC_KEYS"
#: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY: Final = re.compile(r"[0-9]+(\.[0-9]+)?(m|[KMGT]i?|k)?")
_SCHEMES: Final = ("http://", "https://")
_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_PARENT: Final = re.compile(rf"(?:{_NAME.pattern}/)?{_NAME.pattern}")


@dataclass(frozen=True)
class Settings:
    """Where functions are, on which image those of each kind, in which registry theirs are, how they are called, and their shape.

    `url` has `{name}` in it; None where callers find a function as the platform says. `gateway` is the address that requests
    go to whatever host a function's URL names; None where that host is found. `parent` is the Gateway, `namespace/name`, that leads
    to functions by HTTPRoutes of ours; None where there is none.
    """

    namespace: str
    images: Mapping[Kind, str]
    registry: str
    url: str | None
    gateway: str | None
    shape: Shape
    parent: str | None = None

    def image(self, kind: Kind) -> str:
        """The function image for functions of that kind. Raises TargetError where none was given."""
        if kind not in self.images:
            raise TargetError(
                f"the function is of the kind {kind}, and {_IMAGES[kind]} is not set",
                next_step="set it where stages run and where `penstock` does: docs/targets.md",
            )
        return self.images[kind]

    def repository(self, function: str) -> str:
        """Where a function's images go."""
        return f"{self.registry}/function-{object_name(function)}"


def read(environment: Mapping[str, str] = os.environ, *, serverless: bool = False) -> Settings:
    """All of it; `serverless`: pods are as many as Knative makes, within bounds. Raises TargetError with every fault."""
    images = {kind: environment[name] for kind, name in _IMAGES.items() if environment.get(name)}
    needed = (NAMESPACE, REGISTRY) if images else (NAMESPACE, IMAGE, REGISTRY)
    missing = [name for name in needed if not environment.get(name)]
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
    usual = Shape(least=0, most=0) if serverless else Shape()
    cpu = given(CPU, usual.cpu, _QUANTITY, "a number of cores, such as 250m or 2")
    memory = given(MEMORY, usual.memory, _QUANTITY, "bytes, such as 512Mi")
    first = "[0-9]" if serverless else "[1-9]"
    replicas = given(
        REPLICAS,
        str(usual.least),
        re.compile(first + r"[0-9]{0,3}(-[1-9][0-9]{0,3})?"),
        "a number of pods, or two: 2-10",
    )
    scale_on = environment.get(SCALE_ON, "")
    url, gateway = environment.get(URL), environment.get(GATEWAY)
    if url and not (url.startswith(_SCHEMES) and "{name}" in url):
        faults.append(f"{URL} is {url!r}, expected an address with {{name}} in it")
    if gateway and not gateway.startswith(_SCHEMES):
        faults.append(f"{GATEWAY} is {gateway!r}, expected http:// or https:// and an address")
    parent = None if serverless else environment.get(PARENT_GATEWAY)
    if parent:
        given(PARENT_GATEWAY, "", _PARENT, "the name of a Gateway: public, or gateways/public")
        if not url:
            faults.append(f"{PARENT_GATEWAY} goes with {URL}: which host and path it leads from")
    least, _, most = replicas.partition("-")
    metric, _, value = scale_on.partition("=")
    if serverless and scale_on and (metric != "requests" or not value.isdecimal()):
        faults.append(
            f"{SCALE_ON} is {scale_on!r}, expected requests=100 (a second), or nothing: Knative's own"
        )
    elif scale_on and (metric not in METRICS or not _QUANTITY.fullmatch(value)):
        faults.append(
            f"{SCALE_ON} is {scale_on!r}, expected requests=100 (a second) or latency=50m (seconds)"
        )
    if not serverless and bool(most) != bool(scale_on):
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
    return Settings(
        namespace,
        images,
        environment[REGISTRY].rstrip("/"),
        url or None,
        gateway or None,
        shape,
        parent or None,
    )
