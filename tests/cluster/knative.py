"""A stand-in for the controllers of Knative Serving and KServe: it does what they do for functions, on a real API server.

Real are the API server, which holds every object against the CRDs of the platforms, the pods that it runs, and what answers.
Not real is what comes between: there is no activator, no autoscaler and no ingress. What gets traffic has one pod,
what gets none has no pod; the URLs are addresses of Services of the cluster; shared traffic is shared alike. What Knative's
webhooks refuse beyond the CRDs is not refused here.
"""

from __future__ import annotations

import copy
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from penstock.targets.kubernetes import manifests
from penstock.targets.kubernetes.owned import annotation
from tests.kserve import predictor_by, predictor_in, service_of

Object = dict[str, Any]

_SERVING = ("serving.knative.dev", "v1")
_KSERVE = ("serving.kserve.io", "v1beta1")
_REVISION = "serving.knative.dev/revision"
_SERVICE = "serving.knative.dev/service"
_CHANGED = "2026-01-01T00:00:00Z"
#: Gone, or changed meanwhile: the next look sees it.
_PASSING = (404, 409)
#: Answers in a row by which it is known who answers, each by a connection of its own.
_PROBES = 20


@dataclass
class Controllers:
    """They see to one namespace, until they are told that it is over."""

    namespace: str
    over: threading.Event = field(default_factory=threading.Event)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._custom = client.CustomObjectsApi()
        self._core = client.CoreV1Api()
        self._apps = client.AppsV1Api()
        self._moving = set[str]()

    def run(self) -> None:
        """See to all that is there, again and again."""
        while not self.over.wait(0.2):
            for kind, sees in (
                ((*_KSERVE, "inferenceservices"), self._inference_service),
                ((*_SERVING, "services"), self._service),
                ((*_SERVING, "revisions"), self._revision),
            ):
                try:
                    for found in self._list(*kind):
                        sees(found)
                except ApiException as error:
                    if error.status not in _PASSING:
                        self.faults.append(f"{kind}: {error.status} {error.body}")
                except Exception:
                    self.faults.append(traceback.format_exc())

    # -- KServe -----------------------------------------------------------------------------------------------------

    def _inference_service(self, found: Object) -> None:
        """Its predictor is a Service of Knative. See `tests.kserve`."""
        wanted = service_of(found)
        wanted["metadata"]["ownerReferences"] = [_owner(found)]
        status = self._have(*_SERVING, "services", wanted).get("status", {})
        if not status:
            return
        component = predictor_by(predictor_in(found), status)
        said = {"components": {"predictor": component}, "conditions": status["conditions"]}
        self._say(
            *_KSERVE,
            "inferenceservices",
            found,
            {**said, **({"url": status["url"]} if "url" in status else {})},
        )

    # -- Knative ----------------------------------------------------------------------------------------------------

    def _service(self, found: Object) -> None:
        """Its template is a Configuration's, of each generation of which there is a Revision; its traffic follows what is ready."""
        name = found["metadata"]["name"]
        configuration = self._have(
            *_SERVING,
            "configurations",
            {
                "apiVersion": "/".join(_SERVING),
                "kind": "Configuration",
                "metadata": {"name": name, "ownerReferences": [_owner(found)]},
                "spec": {"template": found["spec"]["template"]},
            },
        )
        created = self._latest(configuration, name)
        revisions = {each["metadata"]["name"]: each for each in self._list(*_SERVING, "revisions")}
        before = found.get("status", {})
        ready = created if _is_ready(revisions.get(created)) else before.get("latestReadyRevisionName")
        traffic = [
            {**each, "revisionName": ready} if each.get("latestRevision") else each
            for each in found["spec"]["traffic"]
        ]
        status = {
            **before,
            "observedGeneration": found["metadata"]["generation"],
            "latestCreatedRevisionName": created,
            **({"latestReadyRevisionName": ready} if ready else {}),
        }
        routed = all(self._answers(each.get("revisionName"), revisions) for each in traffic)
        if routed:
            status["traffic"] = [self._lead(found, each) for each in traffic]
            shared = [each for each in traffic if each["percent"]]
            status["url"] = self._lead(found, {**shared[0], "tag": None}, shared=len(shared) > 1)["url"]
            routed = len(shared) > 1 or self._followed(
                name, status["url"], revisions[shared[0]["revisionName"]]
            )
        asked = {each.get("revisionName") for each in [*traffic, *status.get("traffic", [])]}
        self._scale(name, created, asked, revisions)
        status["conditions"] = [
            _condition("Ready", routed and ready == created),
            _condition("RoutesReady", routed),
        ]
        self._say(*_SERVING, "services", found, status)

    def _latest(self, configuration: Object, service: str) -> str:
        """The Revision of a Configuration as it is now."""
        template = configuration["spec"]["template"]
        about, number = template.get("metadata", {}), configuration["metadata"]["generation"]
        name = about.get("name") or f"{service}-{number:05}"
        wanted = {
            "apiVersion": "/".join(_SERVING),
            "kind": "Revision",
            "metadata": {
                "name": name,
                "labels": {**about.get("labels", {}), _SERVICE: service},
                "annotations": about.get("annotations", {}),
                "ownerReferences": [_owner(configuration)],
            },
            "spec": template["spec"],
        }
        try:
            self._custom.create_namespaced_custom_object(*_SERVING, self.namespace, "revisions", wanted)
        except ApiException as error:
            if error.status != 409:
                raise
        return str(name)

    def _scale(
        self, service: str, created: str, asked: set[str | None], revisions: Mapping[str, Object]
    ) -> None:
        """One pod for what is asked, still or soon, or is new; none for what is neither."""
        for name, each in revisions.items():
            if each["metadata"]["labels"].get(_SERVICE) != service:
                continue
            wanted = int(name in asked or (name == created and not _is_ready(each)))
            with_pods = self._apps.read_namespaced_deployment(f"{name}-deployment", self.namespace)
            if with_pods.spec.replicas != wanted:
                patch = {"spec": {"replicas": wanted}}
                self._apps.patch_namespaced_deployment(f"{name}-deployment", self.namespace, patch)

    def _answers(self, name: str | None, revisions: Mapping[str, Object]) -> bool:
        return name in revisions and any(
            each["type"] == "Active" and each["status"] == "True"
            for each in revisions[name].get("status", {}).get("conditions", [])
        )

    def _followed(self, name: str, url: str, revision: Object) -> bool:
        """Whether the node has followed a Service that selects others than before; as Knative's controllers do, it asks."""
        wanted = annotation(revision, manifests.REVISION)
        for _ in range(_PROBES if name in self._moving else 0):
            try:
                answer = httpx.get(
                    f"{url}/health", headers={"Connection": "close"}, timeout=5, trust_env=False
                )
            except httpx.HTTPError:
                return False
            if answer.json().get("revision") != wanted:
                return False
        self._moving.discard(name)
        return True

    def _lead(self, found: Object, entry: Object, *, shared: bool = False) -> Object:
        """An entry of traffic, with a Service of the cluster in the place of what an ingress would be told; `shared` among all pods."""
        name = "-".join(part for part in (entry.get("tag"), found["metadata"]["name"]) if part)
        selector = {_SERVICE: found["metadata"]["name"]}
        if not shared:
            selector[_REVISION] = entry["revisionName"]
        service = {
            "metadata": {"name": name, "labels": {"stand-in": "route"}, "ownerReferences": [_owner(found)]},
            "spec": {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        try:
            made = self._core.create_namespaced_service(self.namespace, service)
        except ApiException as error:
            if error.status != 409:
                raise
            made = self._core.read_namespaced_service(name, self.namespace)
            if made.spec.selector != selector:
                patch = {"spec": {"selector": {_REVISION: None, **selector}}}
                self._moving.add(name)
                self._core.patch_namespaced_service(name, self.namespace, patch)
        return {**entry, "url": f"http://{made.spec.cluster_ip}"}

    def _revision(self, found: Object) -> None:
        """Its pods are a Deployment's; it is ready once one of them was."""
        name = found["metadata"]["name"]
        labels = {**found["metadata"]["labels"], _REVISION: name}
        pod = {key: value for key, value in found["spec"].items() if key in ("containers", "automountServiceAccountToken",
                                                                             "enableServiceLinks")}  # fmt: skip
        pod = copy.deepcopy(pod)
        for container in pod["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                container[probe]["httpGet"]["port"] = container["ports"][0]["containerPort"]
            # Knative's own proxy in a pod answers on until callers have followed.
            container["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
        deployment = {
            "metadata": {"name": f"{name}-deployment", "labels": labels, "ownerReferences": [_owner(found)]},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {_REVISION: name}},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
        try:
            made = self._apps.read_namespaced_deployment(f"{name}-deployment", self.namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            made = self._apps.create_namespaced_deployment(self.namespace, deployment)
        active = bool(made.status.available_replicas)
        conditions = [_condition("Active", active)]
        if active or _is_ready(found):
            conditions.append(_condition("Ready", True))
        elif code := self._ended(name):
            conditions.append({**_condition("Ready", False), "reason": f"ExitCode{code}"})
        self._say(*_SERVING, "revisions", found, {"conditions": conditions})

    def _ended(self, revision: str) -> int:
        """The exit code of a Revision's pod that ended; 0 while it runs."""
        pods = self._core.list_namespaced_pod(self.namespace, label_selector=f"{_REVISION}={revision}")
        states = (each.last_state.terminated or each.state.terminated for pod in pods.items
                  for each in pod.status.container_statuses or [])  # fmt: skip
        return next((state.exit_code for state in states if state), 0)

    # -- objects ----------------------------------------------------------------------------------------------------

    def _list(self, group: str, version: str, plural: str) -> list[Object]:
        try:
            found = self._custom.list_namespaced_custom_object(group, version, self.namespace, plural)[
                "items"
            ]
        except ApiException as error:  # that platform is not there
            if error.status != 404:
                raise
            return []
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def _have(self, group: str, version: str, plural: str, wanted: Object) -> Object:
        """An object as it is wanted."""
        kind = (group, version, self.namespace, plural)
        try:
            now = self._custom.get_namespaced_custom_object(*kind, wanted["metadata"]["name"])
        except ApiException as error:
            if error.status != 404:
                raise
            return dict(self._custom.create_namespaced_custom_object(*kind, wanted))
        if now["spec"] == wanted["spec"]:
            return dict(now)
        return dict(
            self._custom.replace_namespaced_custom_object(
                *kind, wanted["metadata"]["name"], {**now, "spec": wanted["spec"]}
            )
        )

    def _say(self, group: str, version: str, plural: str, found: Object, status: Object) -> None:
        """Set an object's status, where it is another."""
        if found.get("status") != status:
            name = found["metadata"]["name"]
            self._custom.replace_namespaced_custom_object_status(
                group, version, self.namespace, plural, name, {**found, "status": status}
            )


@contextmanager
def controllers(namespace: str) -> Iterator[Controllers]:
    """The stand-in at work; that it had to give up on something fails the test."""
    made = Controllers(namespace)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        thread.join()
    assert made.faults == []


def _owner(found: Object) -> Object:
    about = found["metadata"]
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "name": about["name"],
        "uid": about["uid"],
        "controller": True,
    }


def _condition(kind: str, holds: bool) -> Object:
    return {"type": kind, "status": str(holds), "lastTransitionTime": _CHANGED}


def _is_ready(revision: Object | None) -> bool:
    conditions = (revision or {}).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
