"""What a function is on Kubernetes: of each revision a Deployment with its bounds, of each function a Service and a policy, and
an HTTPRoute where callers come by a Gateway.

Names: the function's, in small letters and with - for _; a revision's ends with the twelve digits that it ends with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from penstock.host.manifest import Manifest
from penstock.targets import TargetError

Object = dict[str, Any]

PORT: Final = 8080  # images/Dockerfile
#: The container of a pod that is the function.
CONTAINER: Final = "function"
_USER: Final = 10001  # images/Dockerfile
#: A service's name is a DNS label (RFC 1035), and a version is the value of a label.
_NAME: Final = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_VALUE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_KIND: Final = {"app.kubernetes.io/name": "penstock-function", "app.kubernetes.io/managed-by": "penstock"}
_FUNCTION: Final = "app.kubernetes.io/instance"
SHORT: Final = "penstock/revision"
#: As an annotation the whole of it, which may be longer than a label.
REVISION: Final = "penstock/revision"
SINCE: Final = "penstock/since"
#: What was live before.
BEFORE: Final = "penstock/before"
#: The rollout in course, or the last one (`penstock.rollout.counted.Watch`).
ROLLOUT: Final = "penstock/rollout"
#: By which label a service has pods of two revisions, in a rollout by replicas: those of the one that is rolled out have the
#: other's value there. A pod's labels do not change, so all pods have it from the beginning.
TRAFFIC: Final = "penstock/traffic"
#: Until the nodes know that the pods are none of the service's any more: what still comes meanwhile is answered.
_SETTLE_SECONDS: Final = 10
#: Of this the runtime takes 10 to answer what is in hand (penstock_function).
_GRACE_SECONDS: Final = 45
_PORT_80: Final[Mapping[str, Any]] = {"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}
#: By what Prometheus finds a pod's metrics, as its usual configuration has it.
SCRAPED: Final[Mapping[str, str]] = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(PORT),
    "prometheus.io/path": "/metrics",
}
#: By what a function may be scaled: the metrics that the cluster's adapter makes of the runtime's (docs/targets.md).
METRICS: Final[Mapping[str, str]] = {
    "requests": "penstock_requests_per_second",
    "latency": "penstock_request_seconds_p95",
}


@dataclass(frozen=True)
class Shape:
    """How a function's pods are: how many at least and at most, scaled by a metric to a value, and what one may have.

    `most` of 0: as many as the platform gives.
    """

    least: int = 2
    most: int = 2
    metric: str | None = None
    value: str = ""
    cpu: str = "250m"
    memory: str = "512Mi"
    public_keys: str = ""


@dataclass(frozen=True)
class Revision:
    """One revision of a function, and the image that is its package; `traffic` is the value of TRAFFIC, by default its own."""

    function: str
    version: str
    revision: str
    image: str
    traffic: str | None = None

    @property
    def name(self) -> str:
        """Of its Deployment, and of what belongs to that."""
        return revision_name(self.function, self.revision)


def object_name(function: str) -> str:
    """The name of a function's objects."""
    return function.lower().replace("_", "-")


def revision_name(function: str, revision: str) -> str:
    """The name of a revision's objects."""
    return f"{object_name(function)}-{revision[-12:]}"


def check(manifest: Manifest) -> None:
    """Refuse a function that cannot be named here. Raises TargetError."""
    if not _NAME.fullmatch(object_name(manifest.name)):
        raise TargetError(
            f"the function {manifest.name} cannot be a service of Kubernetes: expected a letter, then letters, digits,"
            " - and _, and no - or _ at the end",
            next_step="name it otherwise: function={'name': ...}",
        )
    if not _VALUE.fullmatch(manifest.version):
        raise TargetError(
            f"the version {manifest.version} cannot be a label of Kubernetes: expected at most 63 characters of A-Z a-z 0-9 _ . -",
            next_step="register it again: versions of the registry are numbers",
        )


def of_function(function: str) -> dict[str, str]:
    """The labels of all that belongs to a function."""
    return {**_KIND, _FUNCTION: function}


def function_of(found: Mapping[str, Any]) -> str | None:
    """The function that an object belongs to; None where it is not ours."""
    labels = found["metadata"].get("labels") or {}
    return labels.get(_FUNCTION) if _KIND.items() <= labels.items() else None


def of_revision(function: str, revision: str) -> dict[str, str]:
    """The labels of a revision's pods."""
    return {**of_function(function), SHORT: revision[-12:]}


def revision_of(found: Mapping[str, Any]) -> Revision:
    """What a Deployment was made of."""
    template, labels = found["spec"]["template"], found["metadata"]["labels"]
    return Revision(
        labels[_FUNCTION],
        labels["app.kubernetes.io/version"],
        found["metadata"]["annotations"][REVISION],
        template["spec"]["containers"][0]["image"],
        traffic_of(found),
    )


def traffic_of(found: Mapping[str, Any]) -> str | None:
    """Which value of TRAFFIC a Deployment's pods have; None of one that an earlier release has made."""
    value: str | None = found["spec"]["template"]["metadata"]["labels"].get(TRAFFIC)
    return value


def deployment(made: Revision, shape: Shape) -> Object:
    """The pods of a revision. How many there are is not said here: routing and scaling do."""
    labels = {**of_revision(made.function, made.revision), "app.kubernetes.io/version": made.version}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": made.name,
            "labels": {**labels, "app.kubernetes.io/part-of": "penstock"},
            "annotations": {REVISION: made.revision},
        },
        "spec": {
            "selector": {"matchLabels": of_revision(made.function, made.revision)},
            "revisionHistoryLimit": 1,
            # A new function image for the same package: the old pods go once the new ones are ready.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {
                    "labels": {**labels, TRAFFIC: made.traffic or made.revision[-12:]},
                    "annotations": {**SCRAPED},
                },
                "spec": _pod(made, shape),
            },
        },
    }


def _pod(made: Revision, shape: Shape) -> Object:
    """Admitted where Pod Security is `restricted`."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": {**nobody(), "runAsGroup": _USER},
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": of_revision(made.function, made.revision)},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "containers": [
            {
                **container(made, shape, {"path": "/health", "port": "http"}),
                "ports": [{"name": "http", "containerPort": PORT}],
                "lifecycle": {"preStop": {"sleep": {"seconds": _SETTLE_SECONDS}}},
            }
        ],
    }


def nobody() -> Object:
    """Who a function's processes are."""
    return {"runAsNonRoot": True, "runAsUser": _USER, "seccompProfile": {"type": "RuntimeDefault"}}


def container(made: Revision, shape: Shape, health: Mapping[str, Any]) -> Object:
    """What runs of a revision: it may do nothing in the cluster, writes nothing, and is asked for its `health` over HTTP."""
    keys = [{"name": "PENSTOCK_PUBLIC_KEYS", "value": shape.public_keys}] if shape.public_keys else []

    def probe(*, period: int, failures: int) -> Object:
        return {"httpGet": health, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures}

    return {
        "name": CONTAINER,
        "image": made.image,
        "env": keys,
        "resources": {
            "requests": {"cpu": shape.cpu, "memory": shape.memory},
            "limits": {"memory": shape.memory},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The runtime listens once it has given its samples' answers.
        "startupProbe": probe(period=1, failures=120),
        "readinessProbe": probe(period=2, failures=3),
        "livenessProbe": probe(period=10, failures=6),
    }


def bounds(made: Revision, shape: Shape, owner: Mapping[str, Any]) -> list[Object]:
    """What keeps a revision's pods many enough; gone with its Deployment, which is the `owner`."""
    about = _owned(made, owner)
    found = [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": about,
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": of_revision(made.function, made.revision)},
                # One that does not answer must not keep a node from being emptied.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
    ]
    if shape.metric is not None:
        found.append(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": about,
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": made.name},
                    "minReplicas": shape.least,
                    "maxReplicas": shape.most,
                    "metrics": [
                        {
                            "type": "Pods",
                            "pods": {
                                "metric": {"name": METRICS[shape.metric]},
                                "target": {"type": "AverageValue", "averageValue": shape.value},
                            },
                        }
                    ],
                },
            }
        )
    return found


def _owned(made: Revision, owner: Mapping[str, Any]) -> Object:
    return {
        "name": made.name,
        "labels": {**of_revision(made.function, made.revision), "app.kubernetes.io/part-of": "penstock"},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": made.name,
                "uid": owner["metadata"]["uid"],
            }
        ],
    }


def network_policy(function: str) -> Object:
    """A function's pods are called on their one port, and call nobody."""
    policy = calls_nobody(function)
    policy["spec"]["policyTypes"].append("Ingress")
    policy["spec"]["ingress"] = [{"ports": [{"port": PORT, "protocol": "TCP"}]}]
    return policy


def calls_nobody(function: str) -> Object:
    """What lets no request out of a function's pods."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": object_name(function),
            "labels": {**of_function(function), "app.kubernetes.io/part-of": "penstock"},
        },
        "spec": {"podSelector": {"matchLabels": of_function(function)}, "policyTypes": ["Egress"]},
    }


@dataclass(frozen=True)
class Live:
    """What a live name leads to, since when (ISO), and what it led to before.

    `rollout` is what ROLLOUT says, `traffic` the value of TRAFFIC that its pods have while a rollout is by replicas; `version` is
    the resourceVersion of what was read: written, it must be that still.
    """

    revision: str
    before: str
    since: str
    rollout: str = ""
    traffic: str = ""
    version: str | None = None


def service(function: str, live: Live) -> Object:
    """The live name, which selects one revision's pods, or two's in a rollout: to move it is to change one object."""
    one = of_revision(function, live.revision)
    two = {**of_function(function), TRAFFIC: live.traffic}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": object_name(function),
            "labels": {**of_function(function), "app.kubernetes.io/part-of": "penstock"},
            "annotations": said_of(live),
            **({"resourceVersion": live.version} if live.version else {}),
        },
        "spec": {"selector": two if live.traffic else one, "ports": [_PORT_80]},
    }


def said_of(live: Live) -> dict[str, str]:
    """The annotations by which an object keeps what a live name is."""
    said = {REVISION: live.revision, BEFORE: live.before, SINCE: live.since, ROLLOUT: live.rollout}
    return {key: value for key, value in said.items() if value or key != ROLLOUT}


def live_of(found: Mapping[str, Any]) -> Live:
    """What a service that is a live name says, be it one of Knative's."""
    told = found["metadata"].get("annotations") or {}
    return Live(
        revision=told.get(REVISION, ""),
        before=told.get(BEFORE, ""),
        since=told.get(SINCE, ""),
        rollout=told.get(ROLLOUT, ""),
        traffic=found["spec"].get("selector", {}).get(TRAFFIC, ""),
        version=found["metadata"].get("resourceVersion"),
    )


def revision_service(made: Revision, owner: Mapping[str, Any]) -> Object:
    """By what a gateway finds the pods of one revision; gone with its Deployment, which is the `owner`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _owned(made, owner),
        "spec": {"selector": of_revision(made.function, made.revision), "ports": [_PORT_80]},
    }


def http_route(
    function: str, gateway: str, url: str, beside: tuple[str, int] | None = None, version: str | None = None
) -> Object:
    """How a `gateway` (`namespace/name`, or a name of the same namespace) leads from a `url` to a function.

    `beside`: a revision, and its share of requests in percent; 0 lets it answer all of them, too, for nobody to see. `version` is
    the resourceVersion that must be there still. https://gateway-api.sigs.k8s.io/reference/spec/#httproute
    """
    namespace, _, name = gateway.rpartition("/")
    asked = urlsplit(url)
    path = asked.path.rstrip("/")
    filters: list[Object] = []
    if path:
        rewritten = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        filters.append({"type": "URLRewrite", "urlRewrite": rewritten})
    backends = [_backend(object_name(function), 100)]
    if beside is not None:
        revision, share = beside
        candidate = revision_name(function, revision)
        if share:
            backends = [_backend(object_name(function), 100 - share), _backend(candidate, share)]
        else:
            mirror = {"backendRef": _backend(candidate)}
            filters.append({"type": "RequestMirror", "requestMirror": mirror})
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": object_name(function),
            "labels": {**of_function(function), "app.kubernetes.io/part-of": "penstock"},
            **({"resourceVersion": version} if version else {}),
        },
        "spec": {
            "parentRefs": [{"name": name, **({"namespace": namespace} if namespace else {})}],
            "hostnames": [asked.hostname],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": path or "/"}}],
                    **({"filters": filters} if filters else {}),
                    "backendRefs": backends,
                }
            ],
        },
    }


def _backend(service: str, weight: int | None = None) -> Object:
    return {"name": service, "port": 80, **({} if weight is None else {"weight": weight})}
