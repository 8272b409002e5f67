"""A cluster of one namespace in memory: objects by server-side apply, pods as Deployments have them, requests dealt out by what routes say.

Its real twin is in tests/cluster.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import httpx

from penstock.targets import TargetError
from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes.api import Object
from penstock.targets.kubernetes.owned import annotation
from penstock_function.metrics import Metrics

#: Of one revision's answer: its status, and how long it took.
Answers = Callable[[], tuple[int, float]]


class Killed(BaseException):
    """Ends who writes where it stands, as SIGKILL does."""


class Cluster:
    """What `penstock.targets.kubernetes.api.Api` is on a real one; controllers follow at once.

    `answers` are revisions' own; others answer 200 in 3 ms. `dies_after` so many writes whoever writes is killed; `meanwhile` is done
    before the next write.
    """

    namespace = "functions"

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.answers: dict[str, Answers] = {}
        self.dies_after: int | None = None
        self.meanwhile: Callable[[], object] | None = None
        self._versions = itertools.count(1)
        self._pods: dict[str, Metrics] = {}
        self._deal = random.Random(1)

    # -- as the API server ----------------------------------------------------------------------------------

    def apply(self, manifest: Object) -> Object:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        self._may_die()
        kind, about = manifest["kind"], manifest["metadata"]
        before = self.objects.get((kind, about["name"]))
        version = about.get("resourceVersion")
        if version is not None and (before is None or before["metadata"]["resourceVersion"] != version):
            raise TargetError("the object has been modified", status=409)
        made = json.loads(json.dumps(manifest))
        if kind == "Deployment":
            made["spec"]["replicas"] = before["spec"]["replicas"] if before else 1
        return self._write(kind, about["name"], made)

    def merge(self, kind: str, name: str, patch: Object) -> Object:
        self._may_die()
        made = deepcopy(self.objects[kind, name])
        made["spec"].update(patch["spec"])
        return self._write(kind, name, made)

    def get(self, kind: str, name: str) -> Object | None:
        return deepcopy(self.objects.get((kind, name)))

    def find(self, kind: str, labels: Mapping[str, str]) -> list[Object]:
        found = (
            self._standing()
            if kind == "Pod"
            else [each for (of, _), each in self.objects.items() if of == kind]
        )
        return [deepcopy(each) for each in found if labels.items() <= each["metadata"]["labels"].items()]

    def delete(self, kind: str, name: str) -> None:
        self.objects.pop((kind, name), None)

    def metrics(self, pod: str, port: int) -> str | None:
        return self._counting(pod).text().decode()

    def ask(self, service: str, method: str, path: str, body: str | None = None) -> httpx.Response:
        revision, _ = self._deal.choice(self._behind(service))
        return httpx.Response(200, json={"revision": revision})

    def _may_die(self) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise Killed

    def _write(self, kind: str, name: str, made: dict[str, Any]) -> dict[str, Any]:
        version = next(self._versions)
        made["metadata"].update(
            resourceVersion=str(version),
            uid=name,
            generation=version,
            creationTimestamp="2026-01-01T00:00:00Z",
        )
        if kind == "Deployment":
            counts = ("replicas", "updatedReplicas", "availableReplicas")
            made["status"] = {
                "observedGeneration": version,
                **dict.fromkeys(counts, made["spec"]["replicas"]),
            }
        self.objects[kind, name] = made
        return deepcopy(made)

    def _standing(self) -> list[Object]:
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        return [
            {"metadata": {"name": f"{name}-{number}", "labels": each["spec"]["template"]["metadata"]["labels"]}, "status": ready}
            for (kind, name), each in self.objects.items()
            if kind == "Deployment"
            for number in range(each["spec"]["replicas"])
        ]  # fmt: skip

    # -- as callers see it ----------------------------------------------------------------------------------

    def request(self, requests: int) -> list[str]:
        """Who answers so many requests of the live name, by a Gateway where there is a route."""
        services, weights, mirrors = ["shift"], [1], list[str]()
        if (route := self.objects.get(("HTTPRoute", "shift"))) is not None:
            (rule,) = route["spec"]["rules"]
            services = [each["name"] for each in rule["backendRefs"]]
            weights = [each["weight"] for each in rule["backendRefs"]]
            copied = (each.get("requestMirror") for each in rule.get("filters", ()))
            mirrors = [each["backendRef"]["name"] for each in copied if each]
        behind = {service: self._behind(service) for service in (*services, *mirrors)}
        dealt = [
            self._deal.choice(behind[service])
            for service in self._deal.choices(services, weights, k=requests)
        ]
        for revision, pod in [*dealt, *(self._deal.choice(behind[each]) for each in mirrors for _ in dealt)]:
            status, seconds = self.answers.get(revision, lambda: (200, 0.003))()
            self._counting(pod).answered("/predict", status, seconds)
        return [revision for revision, _ in dealt]

    def _counting(self, pod: str) -> Metrics:
        return self._pods.setdefault(pod, Metrics(lambda: 0))

    def _behind(self, service: str) -> list[tuple[str, str]]:
        """The pods that it selects, each with its revision."""
        revisions = {
            each["metadata"]["labels"][manifests.SHORT]: annotation(each, manifests.REVISION)
            for (kind, _), each in self.objects.items()
            if kind == "Deployment"
        }
        pods = (
            each["metadata"]
            for each in self.find("Pod", self.objects["Service", service]["spec"]["selector"])
        )
        return [(revisions[pod["labels"][manifests.SHORT]], pod["name"]) for pod in pods]
